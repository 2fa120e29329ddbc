"""The executables of this package as child processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lseg_ros.demo.processes import ChildProcess

ROOT = Path(__file__).resolve().parents[2]


class Process(ChildProcess):
    """One executable of ``scripts/``, started as a robot starts it."""

    def __init__(self, executable: str, log: Path, *ros_arguments: str, **parameters: Any) -> None:
        super().__init__([str(ROOT / "scripts" / executable)], parameters, log, ros_arguments=ros_arguments)
