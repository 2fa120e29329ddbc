"""Process-level code that all executables share.

It starts, spins and stops a node, forwards log messages, and configures shared memory.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, TracebackType
from typing import ClassVar, NoReturn, ParamSpec, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import get_logger, get_logging_directory
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lseg_ros.errors import describe_error
from lseg_ros.quoting import escape, quote

__all__ = ["Attempt", "LogForwarding", "configure_shared_memory", "exit_process", "run", "run_in_temporary_thread"]

# One thread each for slow callbacks (encoding labels, loading a network), for diagnostics, and for events.
_THREADS = 3
_POLL_S = 0.5

_SHARED_MEMORY_PROFILE = Path(__file__).with_name("shared_memory.xml")
_REQUIRED_SHARED_MEMORY_BYTES = 64_000_000  # a few processes with 16 MB each; containers often have no more in total
_PROFILES_FILE_V2 = "FASTRTPS_DEFAULT_PROFILES_FILE"  # Humble to Jazzy; version 3 reads both variables and complains
_PROFILES_FILE_V3 = "FASTDDS_DEFAULT_PROFILES_FILE"
_USER_CHOICES = (_PROFILES_FILE_V2, _PROFILES_FILE_V3, "FASTDDS_BUILTIN_TRANSPORTS")

N = TypeVar("N", bound=Node)
P = ParamSpec("P")
T = TypeVar("T")


def run(
    make: Callable[[], N], start: Callable[[N], bool] = lambda _: True, until: Callable[[N], bool] | None = None
) -> int:
    """Create a node, start it, and spin it until it is stopped.

    Ctrl-C and SIGTERM stop the node with status 0. A second signal, as ``ros2 launch`` sends it, is ignored while the
    node shuts down.

    Args:
        make: Creates the node. An exception is logged in one line and ends the process with status 1.
        start: Called once with the node. False ends the process with status 1.
        until: Called between events, and twice a second. True ends the process with status 0.

    Returns:
        The exit status. It is also 1 if ROS cannot read a command-line argument or a parameter file.
    """
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    configure_shared_memory()
    node: N | None = None
    try:
        try:
            rclpy.init(args=[*sys.argv, *_log_arguments()], signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:  # an argument or a parameter file that ROS cannot read
            get_logger(Path(sys.argv[0]).stem).fatal(escape(_explain(str(error))))
            return 1
        node = make()
        if not start(node):
            return 1
        _spin(node, until)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        get_logger(Path(sys.argv[0]).stem).fatal(describe_error(error))
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if node is not None:
            with Attempt(node.get_logger(), "cannot clean up"):
                node.destroy_node()
        node = None
        if rclpy.ok():
            rclpy.shutdown()
        # Free the DDS participant, which reference cycles keep alive. Otherwise its files stay in /dev/shm, because
        # ``exit_process`` skips Python's cleanup.
        gc.collect()
    return 0


def exit_process(status: int) -> NoReturn:
    """End the process immediately, without Python's cleanup.

    With PyTorch loaded, cleanup on a busy machine takes longer than the five seconds that ``ros2 launch`` waits before
    it kills the process.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt in the main thread, once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _spin(node: N, until: Callable[[N], bool] | None) -> None:
    """Spin until the context ends, ``until`` returns True, or an exception or signal arrives."""
    # The last event may end in another thread while the executor already waits for the next one.
    timeout_s = None if until is None else _POLL_S
    executor = MultiThreadedExecutor(_THREADS)
    executor.add_node(node)
    stopped = threading.Event()

    def spin() -> None:
        while rclpy.ok() and not stopped.is_set() and not (until is not None and until(node)):
            try:
                executor.spin_once(timeout_s)
            except rclpy_implementation.InvalidHandle:
                pass  # a topic was destroyed after the executor waited for it and before it looked at it
            except ExternalShutdownException:
                raise
            except Exception as error:
                # rclpy raises various exceptions for invalid requests, such as a lifecycle transition that does not
                # exist in the current state or a parameter of an unknown type. The caller made the mistake, so the
                # node keeps running.
                text = f"a request could not be served: {describe_error(error)}"
                node.get_logger().error(text, throttle_duration_sec=1.0)

    with ThreadPoolExecutor(1, "spin") as thread:
        try:
            thread.submit(spin).result()  # signals interrupt this wait, but would not interrupt a wait in rclpy
        finally:
            stopped.set()
            executor.create_task(lambda: None)  # ends the wait for an event; after ``wake`` rclpy waits again
    executor.shutdown(timeout_sec=2.0)


def _log_arguments() -> list[str]:
    """Return the arguments without which rclpy cannot start because it cannot write log files.

    The home directory of a robot may be read-only or full. The log then goes to the console only.
    """
    try:
        folder = Path(get_logging_directory())
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1000))
    except (OSError, RuntimeError) as error:
        text = f"no log file is written: {describe_error(error)}; ROS_LOG_DIR selects another folder"
        get_logger(Path(sys.argv[0]).stem).warning(text)
        return ["--ros-args", "--disable-external-lib-logs"]
    return []


def configure_shared_memory() -> None:
    """Let Fast DDS use more shared memory in this process.

    By default, Fast DDS gives a process 512 kB of shared memory for sending. A VGA image does not fit, so it is sent as
    15 UDP packets. If one is lost, a best-effort subscriber never receives the image. On a busy machine this can affect
    every second image.

    Does nothing if the user configured Fast DDS or if too little shared memory is free. Call this before
    ``rclpy.init``. Other middlewares ignore it.
    """
    if any(os.environ.get(variable) for variable in _USER_CHOICES) or Path("DEFAULT_FASTRTPS_PROFILES.xml").exists():
        return
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= _REQUIRED_SHARED_MEMORY_BYTES:
        is_version_2 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
        os.environ[_PROFILES_FILE_V2 if is_version_2 else _PROFILES_FILE_V3] = str(_SHARED_MEMORY_PROFILE)


def run_in_temporary_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new thread and return its result or raise its exception.

    Every thread that has run the network keeps its OpenMP threads for as long as it lives. If there are more OpenMP
    threads than cores, GNU OpenMP never spins, and the worker's threads sleep and wake up for every layer. So only the
    worker runs the network in a long-lived thread.
    """
    with ThreadPoolExecutor(1, "lseg temporary") as thread:
        return thread.submit(call, *args, **kwargs).result()


class Attempt:
    """Context manager that logs an exception instead of raising it.

    So the node keeps running.

    Attributes:
        reason: The exception in one line, or None if there was none.
    """

    _logged_s: ClassVar[dict[str, float]] = {}  # by failure: monotonic time of the last line in the log

    def __init__(self, logger: RcutilsLogger, failure: str, throttle_s: float = 0.0) -> None:
        """Prepare the context.

        Args:
            logger: Logger of the node.
            failure: What an exception means, such as "cannot configure". It precedes the reason in the log.
            throttle_s: Shortest time between two lines about this failure, so that a client cannot fill the disk.
        """
        self.reason: str | None = None
        self._logger = logger
        self._failure = failure
        self._throttle_s = throttle_s

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False  # KeyboardInterrupt and SystemExit end the process
        self.reason = describe_error(error)
        now_s = time.monotonic()
        if now_s - self._logged_s.get(self._failure, -math.inf) >= self._throttle_s:
            self._logged_s[self._failure] = now_s
            self._logger.error(f"{self._failure}: {self.reason}")
        return True


class LogForwarding(logging.Handler):
    """Forward the ``lseg_ros`` logger of Python's logging to a ROS logger until closed."""

    def __init__(self, logger: RcutilsLogger) -> None:
        """Start to forward.

        Args:
            logger: The logger of the node.
        """
        super().__init__()
        self._ros = logger
        self._source = logging.getLogger("lseg_ros")
        self._source.addHandler(self)
        self._source.setLevel(logging.INFO)
        self._source.propagate = False  # otherwise every message appears twice

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record with the ROS severity that matches its level."""
        # rclpy allows only one severity for each call site, so each severity has its own call.
        text = escape(record.getMessage())
        if record.levelno >= logging.ERROR:
            self._ros.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros.warning(text)
        elif record.levelno >= logging.INFO:
            self._ros.info(text)
        else:
            self._ros.debug(text)

    def close(self) -> None:
        """Stop forwarding."""
        self._source.removeHandler(self)
        self._source.propagate = True
        super().close()


def _explain(error: str) -> str:
    """Add the line of a parameter file to ROS's error about a list of values of several types."""
    match = re.search(r"--params-file ([^']+)'.*Sequence should be of same type.*line_num (\d+)", error, re.DOTALL)
    if match is None:
        return error
    try:
        lines = Path(match[1]).read_text(encoding="utf-8").split("\n")
        line = lines[int(match[2]) - 1].strip()
    except (OSError, ValueError, IndexError):
        return error
    return (
        f"{match[1]}, line {match[2]}: expected values of one type, got {quote(line)}; YAML reads words "
        f"such as yes, off, nan and 12 as other types, put them in quotes ({error})"
    )
