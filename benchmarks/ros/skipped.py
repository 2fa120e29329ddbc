"""Measure the CPU use of images that the node skips because of max_rate_hz."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import UInt64

from benchmarks.ros.listener import RECEIVED
from benchmarks.ros.processes import cpu_s, make_environment, measuring_node, start_module
from lseg_ros.demo.processes import wait_for
from lseg_ros.ros.topics import DIAGNOSTICS, IMAGE

__all__ = ["Load", "Skipped", "measure_skipped"]

_START_TIMEOUT_S = 120.0
_MAX_RATE_HZ = 2.0
_SETTLE_S = 3.0  # until the processes have finished starting


@dataclass(frozen=True)
class Load:
    """CPU use of the node and of a raw subscriber, at one camera rate.

    Attributes:
        node: Percent of a core that the node uses.
        bare: Percent of a core that the raw subscriber uses.
        node_hz: Images per second that the node receives.
        bare_hz: Images per second that the raw subscriber receives.
    """

    node: float
    bare: float
    node_hz: float
    bare_hz: float


@dataclass(frozen=True)
class Skipped:
    """The result of ``measure_skipped``.

    Attributes:
        fast: Load with a fast camera; the node skips most images.
        slow: Load with a camera at max_rate_hz; the node processes as many images, but skips none.
        percent: Extra load of the node with the fast camera, minus the extra load of the raw subscriber.
    """

    fast: Load
    slow: Load
    percent: float


def measure_skipped(
    budget_s: float, folder: Path, height: int = 1080, width: int = 1920, rate_hz: float = 30.0
) -> Skipped:
    """Measure the CPU use of a node with a fast camera and with one at 2 Hz.

    The node has max_rate_hz 2 and a tiny network input.

    Args:
        budget_s: Time to spend on each camera rate.
        folder: Folder for logs.
        height: Height of the images.
        width: Width of the images.
        rate_hz: Rate of the fast camera.
    """
    fast = _measure_load(budget_s, folder, height, width, rate_hz)
    slow = _measure_load(budget_s, folder, height, width, _MAX_RATE_HZ)
    return Skipped(fast, slow, (fast.node - slow.node) - (fast.bare - slow.bare))


def _measure_load(budget_s: float, folder: Path, height: int, width: int, rate_hz: float) -> Load:
    environment = make_environment()
    camera_parameters = {"width": width, "height": height, "rate_hz": rate_hz, "with_depth": False}
    node_parameters = {
        "labels": ["anything"],
        "max_rate_hz": _MAX_RATE_HZ,
        "input_size": 32,
        "cpu_threads": 1,
        "engine": "torch",
    }
    listener_parameters = {"images": [IMAGE.name], "reliable": False}
    received = _ReceivedImages()
    with (
        start_module("lseg_ros.ros.__main__", node_parameters, folder, environment) as node,
        start_module("benchmarks.ros.listener", listener_parameters, folder, environment) as bare,
        start_module("benchmarks.ros.camera", camera_parameters, folder, environment) as camera,
        measuring_node(environment) as observer,
    ):
        observer.create_subscription(UInt64, RECEIVED, received.on_listener, 1)
        observer.create_subscription(DiagnosticArray, DIAGNOSTICS.name, received.on_diagnostics, 1)
        children = (node, bare, camera)
        wait_for(lambda: received.by_node > 0 and received.by_bare > 0, children, _START_TIMEOUT_S, "images")
        time.sleep(_SETTLE_S)
        before = (cpu_s(node.pid), cpu_s(bare.pid), received.by_node, received.by_bare, time.monotonic())
        time.sleep(budget_s)
        after = (cpu_s(node.pid), cpu_s(bare.pid), received.by_node, received.by_bare, time.monotonic())
        for child in children:
            child.check()
    seconds = after[4] - before[4]
    rates = [(end - start) / seconds for start, end in zip(before, after)]
    return Load(100 * rates[0], 100 * rates[1], rates[2], rates[3])


class _ReceivedImages:
    """Counts of the images that the node and the raw subscriber received.

    The node publishes its count every second, the raw subscriber every 0.5 s.
    """

    def __init__(self) -> None:
        self.by_node = self.by_bare = 0

    def on_listener(self, message: UInt64) -> None:
        self.by_bare = message.data

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for item in status.values:
                if item.key == "images received":
                    self.by_node = int(item.value)
