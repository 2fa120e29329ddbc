"""The executables of this package as processes of their own, as a robot starts them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One executable from scripts/, its output in a file. A context manager that ends it with SIGINT."""

    def __init__(self, executable: str, log: Path, *ros_arguments: str, **parameters: Any) -> None:
        settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_text(value)}")]
        command = [sys.executable, str(ROOT / "scripts" / executable), "--ros-args", *ros_arguments, *settings]
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive:
            self.interrupt()
        try:
            self.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """The exit status; subprocess.TimeoutExpired where it does not end."""
        return self._process.wait(timeout_s)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)
