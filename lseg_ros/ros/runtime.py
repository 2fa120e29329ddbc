"""What the executables have in common: start, spin, and stop without a traceback."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lseg_ros.ros.transport import configure_shared_memory

__all__ = ["leave", "run"]

# Callbacks that may take long (labels to encode, a model to load), diagnostics, and events each need one.
_THREADS = 3


N = TypeVar("N", bound=Node)


def run(
    make: Callable[[], N], start: Callable[[N], bool] = lambda _: True, until: Callable[[N], bool] = lambda _: False
) -> int:
    """Make a node, start it and spin it until it is told to stop or ``until`` says so. Returns the exit status.

    1 where ROS cannot read an argument or a parameter file, where the node cannot be made (ValueError or OSError), each
    with a sentence, and where ``start`` returns False. Ctrl-C and SIGTERM end with 0; a second one, as ``ros2 launch``
    sends it, is ignored while the node takes itself down.
    """
    configure_shared_memory()
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # an argument, or a parameter file, that ROS cannot read
        get_logger(Path(sys.argv[0]).stem).fatal(str(error))
        return 1
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    node: N | None = None
    try:
        node = make()
        if not start(node):
            return 1
        _spin(node, until)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ValueError, OSError) as error:
        get_logger(Path(sys.argv[0]).stem).fatal(str(error))
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        if rclpy.ok():
            rclpy.shutdown()
    return 0


def leave(status: int) -> NoReturn:
    """End the process at once, when nothing is left to be done.

    Python would take everything apart first, which with PyTorch loaded takes a busy machine longer than the five
    seconds after which ``ros2 launch`` loses patience.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt what the main thread does, once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _spin(node: N, until: Callable[[N], bool]) -> None:
    """Until the context ends or ``until`` says so; what is raised meanwhile, also by a signal, ends it."""
    executor = MultiThreadedExecutor(_THREADS)
    executor.add_node(node)
    over = threading.Event()

    def spin() -> None:
        while rclpy.ok() and not over.is_set() and not until(node):
            try:
                executor.spin_once()
            except rclpy_implementation.InvalidHandle:
                pass  # a topic, taken away between being waited for and being looked at
            except RuntimeError as error:
                # rclpy raises here what a caller of a service did wrong, such as a lifecycle transition that does not
                # exist in this state. It is the caller's mistake, and the node lives on.
                node.get_logger().error(f"a request could not be served: {error}")

    with ThreadPoolExecutor(1, "spin") as thread:
        try:
            thread.submit(spin).result()  # a signal interrupts this at once, and would not interrupt rclpy's waiting
        finally:
            over.set()
            executor.wake()
    executor.shutdown(timeout_sec=2.0)
