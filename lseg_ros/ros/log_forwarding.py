"""Python's logging, as the rest of the house uses it, forwarded to a node's logger."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger

__all__ = ["LogForwarding"]


class LogForwarding(logging.Handler):
    """Hand what ``lseg_ros`` logs to a ROS logger, until closed."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._ros = logger
        self._source = logging.getLogger("lseg_ros")
        self._source.addHandler(self)
        self._source.setLevel(logging.INFO)
        self._source.propagate = False  # or it would be said twice

    def emit(self, record: logging.LogRecord) -> None:
        # rclpy wants one severity for each place in the code that logs, hence a place for each severity
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._ros.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros.warning(text)
        elif record.levelno >= logging.INFO:
            self._ros.info(text)
        else:
            self._ros.debug(text)

    def close(self) -> None:
        self._source.removeHandler(self)
        self._source.propagate = True
        super().close()
