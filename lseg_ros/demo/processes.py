"""Child processes, and a node that runs in a thread of this process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lseg_ros.ros.runtime import configure_shared_memory

__all__ = ["ChildProcess", "choose_free_domain", "run_node", "wait_for"]

C = TypeVar("C", bound="ChildProcess")
N = TypeVar("N", bound=Node)


class ChildProcess:
    """A Python program that runs as a child process.

    As a context manager, it ends the program with SIGINT.
    """

    def __init__(
        self,
        program: Sequence[str],
        parameters: Mapping[str, Any],
        log: Path,
        environment: Mapping[str, str] | None = None,
        ros_arguments: Sequence[str] = (),
    ) -> None:
        """Start the process.

        Args:
            program: Arguments of Python that select the program: ("-m", module) or (path,).
            parameters: ROS parameters by name.
            log: File for stdout and stderr.
            environment: Environment variables; None for those of this process.
            ros_arguments: Further arguments after ``--ros-args``, such as remappings.
        """
        settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_format(value)}")]
        self.name = program[-1]
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program, "--ros-args", *ros_arguments, *settings],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
            )

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive:
            self.interrupt()
        try:
            self.wait(20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Everything the process has written so far."""
        return self.log.read_text(errors="replace")

    def interrupt(self) -> None:
        """Send SIGINT, like Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status; raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_s)

    def check(self) -> None:
        """Raise RuntimeError with the last line of output if the process has ended."""
        status = self._process.poll()
        if status is not None:
            lines = self.output.strip().splitlines()
            raise RuntimeError(f"{self.name} ended with status {status}: {lines[-1] if lines else 'no output'}")


def wait_for(is_done: Callable[[], bool], children: Iterable[ChildProcess], timeout_s: float, what: str) -> None:
    """Wait until a condition holds.

    Raises:
        RuntimeError: One of the child processes has ended.
        ValueError: The timeout has passed; the message contains ``what``.
    """
    end_s = time.monotonic() + timeout_s
    while not is_done():
        for child in children:
            child.check()
        if time.monotonic() > end_s:
            raise ValueError(f"expected {what} within {timeout_s:.0f} s, got none")
        time.sleep(0.02)


def choose_free_domain() -> int:
    """Choose a random ROS domain from 1 to 101 that differs from that of this process."""
    own = os.environ.get("ROS_DOMAIN_ID", "0")
    return random.SystemRandom().choice([domain for domain in range(1, 102) if str(domain) != own])


@contextmanager
def run_node(create: Callable[[], N], domain: int) -> Iterator[N]:
    """Create a node in a ROS domain and run its callbacks in a thread.

    A process can run only one such node at a time. Python keeps its own handler for SIGINT.
    """
    configure_shared_memory()
    rclpy.init(domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    node = create()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        stop.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()


def _format(value: Any) -> str:
    """Format a parameter value as YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)
