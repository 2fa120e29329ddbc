"""What an executable does before it imports PyTorch."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["exit_on_signals", "torch_cache_env"]


@contextmanager
def exit_on_signals(status: int | None = None) -> Iterator[None]:
    """End the process quietly when SIGINT or SIGTERM arrives in this context.

    Importing rclpy or PyTorch takes up to seconds. An interrupt in an import would otherwise print a traceback, and
    compiled modules may turn it into another error. Use this only while there is nothing to clean up.

    Signals that are ignored stay ignored. Outside of the main thread, where Python does not allow signal handlers, the
    context does nothing.

    Args:
        status: Exit status; None for 128 plus the number of the signal, which is what a shell reports.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number if status is None else status)

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    replaced = [number for number in numbers if signal.getsignal(number) not in (None, signal.SIG_IGN)]
    previous = {number: signal.signal(number, leave) for number in replaced}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def torch_cache_env() -> dict[str, str]:
    """Return environment variables that let PyTorch start on a full or read-only disk.

    When PyTorch is imported, it creates the folder in which torch.compile caches its results, and fails if it cannot.
    On such a disk, a folder that exists takes its place. Set the variables before torch is imported.

    Returns:
        The variables and their values; empty if the folder can be created.
    """
    import tempfile  # imports more than the rest of this module

    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    try:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        else:
            tempfile.TemporaryDirectory().cleanup()  # the default is a subfolder of the folder for temporary files
    except OSError:
        return {"TORCHINDUCTOR_CACHE_DIR": os.sep}
    return {}
