"""Child processes and a measuring node in a separate ROS domain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rclpy.node import Node

from lseg_ros.demo.processes import ChildProcess, choose_free_domain, run_node

__all__ = ["cpu_s", "make_environment", "measuring_node", "start_module"]


def make_environment() -> dict[str, str]:
    """Environment variables of processes that communicate only with each other."""
    return {**os.environ, "ROS_DOMAIN_ID": str(choose_free_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def measuring_node(environment: Mapping[str, str], name: str = "benchmark") -> Iterator[Node]:
    """Run a node in a thread of this process, in the domain of ``make_environment``."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = environment["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    with run_node(lambda: Node(name), int(environment["ROS_DOMAIN_ID"])) as node:
        yield node


def start_module(
    module: str, parameters: Mapping[str, Any], folder: Path, environment: Mapping[str, str]
) -> ChildProcess:
    """Start a module as a child process that logs to the folder."""
    return ChildProcess(("-m", module), parameters, folder / f"{module.rpartition('.')[2]}.log", environment)


def cpu_s(pid: int) -> float:
    """CPU time in seconds that all threads of a process have used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
