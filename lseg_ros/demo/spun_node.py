"""A node in this process that lives and is spun while something else goes on."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lseg_ros.ros.transport import configure_shared_memory

__all__ = ["domain_apart", "spun_node"]

N = TypeVar("N", bound=Node)


def domain_apart() -> int:
    """A ROS domain, 1 to 101, that is not this process's own: what is there, a robot or another node, is not met."""
    own = os.environ.get("ROS_DOMAIN_ID", "0")
    return random.SystemRandom().choice([domain for domain in range(1, 102) if str(domain) != own])


@contextmanager
def spun_node(make: Callable[[], N], domain: int) -> Iterator[N]:
    """What ``make`` makes in a ROS domain, spun by a thread; Ctrl-C stays Python's. One at a time in a process."""
    configure_shared_memory()
    rclpy.init(domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    node = make()
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
