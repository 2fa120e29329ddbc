"""Run the executables of this package as child processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lseg_ros.demo.processes import ChildProcess
from test.support.ros_client import wait_until

ROOT = Path(__file__).resolve().parents[2]
READY = "looking for"  # the node logs this when it has encoded its labels


class Process(ChildProcess):
    """One executable from ``scripts/``, started as on a robot."""

    def __init__(
        self,
        executable: str,
        log: Path,
        *ros_arguments: str,
        environment: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> None:
        if executable == "lseg_node":
            parameters = {"engine": "torch", **parameters}  # an export to ONNX takes seconds
        super().__init__([str(ROOT / "scripts" / executable)], parameters, log, environment, ros_arguments)


@contextmanager
def run_lseg_node(log: Path, *ros_arguments: str, **parameters: Any) -> Iterator[Process]:
    """Run lseg_node and wait until it is active.

    At the end, check that it is still running and logged no traceback.
    """
    with Process("lseg_node", log, *ros_arguments, **parameters) as node:
        wait_until(lambda: not node.alive or READY in node.output, 240, "the node did not start")
        assert node.alive, node.output
        yield node
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output
