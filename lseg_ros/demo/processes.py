"""An executable of this package as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["ChildProcess", "wait_for"]


class ChildProcess:
    """Runs ``main`` of a module of this room, its output in a file; a context manager that ends it.

    module: such as ``lseg_ros.ros.__main__``. parameters: ROS parameters by name.
    """

    def __init__(self, module: str, parameters: Mapping[str, Any], log: Path, environment: Mapping[str, str]) -> None:
        settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_text(value)}")]
        command = [sys.executable, "-m", module, "--ros-args", *settings]
        self.module = module
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=dict(environment))

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise RuntimeError with the last thing it said where it has ended."""
        status = self._process.poll()
        if status is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise RuntimeError(f"{self.module} ended with status {status}: {lines[-1] if lines else 'it said nothing'}")


def wait_for(done: Callable[[], bool], children: Iterable[ChildProcess], timeout_s: float, what: str) -> None:
    """Raises RuntimeError where a child has ended meanwhile, ValueError where it takes too long."""
    end_s = time.monotonic() + timeout_s
    while not done():
        for child in children:
            child.check()
        if time.monotonic() > end_s:
            raise ValueError(f"expected {what} within {timeout_s:.0f} s, got none")
        time.sleep(0.02)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)
