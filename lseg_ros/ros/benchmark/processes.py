"""A node that measures, and processes beside it, in a ROS domain of their own."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lseg_ros.ros.child_process import ChildProcess
from lseg_ros.ros.transport import make_room

__all__ = ["cpu_s", "environment", "measuring_node", "started", "wait_for"]


def environment() -> dict[str, str]:
    """For processes that are to meet each other, and no robot."""
    domain = random.SystemRandom().randrange(1, 102)
    return {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def measuring_node(domain: Mapping[str, str], name: str = "benchmark") -> Iterator[Node]:
    """A node in this process, spun by a thread. domain: an ``environment``."""
    make_room()
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = domain["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    rclpy.init(domain_id=int(domain["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        over.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()


def started(module: str, parameters: Mapping[str, Any], folder: Path, domain: Mapping[str, str]) -> ChildProcess:
    """A module of this room as a process."""
    return ChildProcess(module, parameters, folder / f"{module.rpartition('.')[2]}.log", domain)


def wait_for(done: Callable[[], bool], children: Sequence[ChildProcess], timeout_s: float, what: str) -> None:
    """Raises RuntimeError where a child has ended, ValueError where it takes too long."""
    end_s = time.monotonic() + timeout_s
    while not done():
        for child in children:
            child.check()
        if time.monotonic() > end_s:
            raise ValueError(f"expected {what} within {timeout_s:.0f} s, got none")
        time.sleep(0.02)


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used so far, in all of its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
