"""What images cost that max_rate_hz skips."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import UInt64

from benchmarks.ros.listener import HEARD
from benchmarks.ros.processes import cpu_s, make_environment, measuring_node, start_module
from lseg_ros.demo.processes import wait_for
from lseg_ros.ros.topics import DIAGNOSTICS, IMAGE

__all__ = ["Skipped", "measure_skipped"]

_START_S = 120.0
_ASKED_HZ = 2.0
_SETTLE_S = 3.0


@dataclass(frozen=True)
class Load:
    """Share of a core, in percent, of the node and of a bare subscriber; images a second that each of them got."""

    node: float
    bare: float
    node_hz: float
    bare_hz: float


@dataclass(frozen=True)
class Skipped:
    """fast: at the camera's rate. slow: at max_rate_hz, so that no image is skipped and the same number processed.

    percent: what the node takes more when images are skipped, less what a bare subscriber takes more.
    """

    fast: Load
    slow: Load
    percent: float


def measure_skipped(
    budget_s: float, folder: Path, height: int = 1080, width: int = 1920, rate_hz: float = 30.0
) -> Skipped:
    """A node with max_rate_hz 2, seeing a camera of 30 Hz and one of 2 Hz; its network's input is tiny."""
    fast = _load(budget_s, folder, height, width, rate_hz)
    slow = _load(budget_s, folder, height, width, _ASKED_HZ)
    percent = (fast.node - slow.node) - (fast.bare - slow.bare)
    return Skipped(fast, slow, percent)


def _load(budget_s: float, folder: Path, height: int, width: int, rate_hz: float) -> Load:
    domain = make_environment()
    camera = {"width": width, "height": height, "rate_hz": rate_hz, "with_depth": False}
    lseg = {"labels": ["anything"], "max_rate_hz": _ASKED_HZ, "input_size": 32, "cpu_threads": 1}
    received = _Received()
    with (
        start_module("lseg_ros.ros.__main__", lseg, folder, domain) as node,
        start_module("benchmarks.ros.listener", {"images": [IMAGE.name], "reliable": False}, folder, domain) as bare,
        start_module("benchmarks.ros.camera", camera, folder, domain) as source,
        measuring_node(domain) as here,
    ):
        here.create_subscription(UInt64, HEARD, received.bare, 1)
        here.create_subscription(DiagnosticArray, DIAGNOSTICS.name, received.node, 1)
        children = (node, bare, source)
        wait_for(lambda: received.by_node > 0 and received.by_bare > 0, children, _START_S, "images")
        time.sleep(_SETTLE_S)  # what starting costs is over
        before = (cpu_s(node.pid), cpu_s(bare.pid), received.by_node, received.by_bare, time.monotonic())
        time.sleep(budget_s)
        after = (cpu_s(node.pid), cpu_s(bare.pid), received.by_node, received.by_bare, time.monotonic())
        for child in children:
            child.check()
    seconds = after[4] - before[4]
    spent = [(late - early) / seconds for early, late in zip(before, after)]
    return Load(100 * spent[0], 100 * spent[1], spent[2], spent[3])


class _Received:
    """Images that the node and the bare subscriber say they got; told once a second and twice a second."""

    def __init__(self) -> None:
        self.by_node = self.by_bare = 0

    def bare(self, message: UInt64) -> None:
        self.by_bare = message.data

    def node(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for each in status.values:
                if each.key == "images received":
                    self.by_node = int(each.value)
