"""Exceptions as one sentence, for logs, service responses and command lines."""

from __future__ import annotations

from pathlib import Path

from lseg_ros.quoting import escape

__all__ = ["describe_error"]

# Their messages are written for users. The messages of others, such as KeyError, need type and place to be understood.
_EXPLAINED = (ValueError, OSError, RuntimeError, ImportError)


def describe_error(error: BaseException) -> str:
    """Describe an exception in one line, without a traceback.

    Returns:
        The message of a ValueError, OSError, RuntimeError or ImportError. For other exceptions and empty messages, the
        name of the type, the message, and the file and line that raised it.
    """
    message = escape(" ".join(str(error).split()))
    if message and isinstance(error, _EXPLAINED):
        return message
    place, trace = "", error.__traceback__
    while trace is not None:
        place, trace = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})", trace.tb_next
    return f"{type(error).__name__}{': ' * bool(message)}{message}{place}"
