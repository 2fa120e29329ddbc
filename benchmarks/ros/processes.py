"""A node that measures, and processes beside it, in a ROS domain of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rclpy.node import Node

from lseg_ros.demo.processes import ChildProcess
from lseg_ros.demo.spun_node import domain_apart, spun_node

__all__ = ["cpu_s", "environment", "measuring_node", "started"]


def environment() -> dict[str, str]:
    """For processes that are to meet each other, and no robot."""
    return {**os.environ, "ROS_DOMAIN_ID": str(domain_apart()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def measuring_node(domain: Mapping[str, str], name: str = "benchmark") -> Iterator[Node]:
    """A node in this process, spun by a thread. domain: an ``environment``."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = domain["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    with spun_node(lambda: Node(name), int(domain["ROS_DOMAIN_ID"])) as node:
        yield node


def started(module: str, parameters: Mapping[str, Any], folder: Path, domain: Mapping[str, str]) -> ChildProcess:
    """A module of this room as a process."""
    return ChildProcess(module, parameters, folder / f"{module.rpartition('.')[2]}.log", domain)


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used so far, in all of its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
