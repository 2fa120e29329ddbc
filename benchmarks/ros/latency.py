"""How soon the node is ready, how many frames it makes, and how old a mask is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2

from benchmarks.ros.processes import make_environment, measuring_node, start_module
from lseg_ros.demo.processes import ChildProcess, wait_for
from lseg_ros.ros.subscriptions import read_stamp_ns
from lseg_ros.ros.topics import DIAGNOSTICS, FRAME_QOS

__all__ = ["Latency", "measure_latency"]

_START_S = 180.0
_NODE = "/lseg"
_FULL_HZ = 30.0
_LABELS = 20


@dataclass(frozen=True)
class Latency:
    """ready_s: from starting the process to its words "looking for". rate_hz: masks a second of a camera of 30 Hz.

    At half of that rate: p50 and p95 from the stamp to the mask's arrival in another process, the median of what the
    node's own stages take together, and what the node says it dropped of so many images.
    """

    ready_s: float
    rate_hz: float
    half_hz: float
    p50_ms: float
    p95_ms: float
    pipeline_ms: float
    received: int
    dropped: int


def measure_latency(budget_s: float, folder: Path, checkpoint: str = "demo") -> Latency:
    """The node with 20 labels, a subscriber to masks and to the organized cloud, a camera of 640x480 with depth."""
    domain = make_environment()
    settings = {"checkpoint": checkpoint, "labels": [f"thing {each}" for each in range(1, _LABELS + 1)]}
    start_s = time.monotonic()
    log = folder / "node.log"
    with start_module("lseg_ros.ros.__main__", settings, folder, domain) as node, measuring_node(domain) as here:
        wait_for(lambda: b"looking for" in log.read_bytes(), [node], _START_S, "a node that is ready")
        ready_s = time.monotonic() - start_s
        told = _Told(here)
        rate_hz = _observed(told, node, folder, domain, _FULL_HZ, budget_s).masks / budget_s
        half = _observed(told, node, folder, domain, max(rate_hz / 2, 0.1), budget_s)
    p50_ms, p95_ms = (float(each) for each in np.percentile(half.latencies_ms, (50, 95)))
    return Latency(ready_s, rate_hz, rate_hz / 2, p50_ms, p95_ms, half.pipeline_ms, half.received, half.dropped)


@dataclass(frozen=True)
class _Observed:
    masks: int
    latencies_ms: list[float]
    pipeline_ms: float
    received: int
    dropped: int


def _observed(
    told: _Told, node: ChildProcess, folder: Path, domain: Mapping[str, str], rate_hz: float, budget_s: float
) -> _Observed:
    """What is told while a camera of this rate is looked at."""
    with start_module("benchmarks.ros.camera", {"rate_hz": rate_hz}, folder, domain) as camera:
        told.begin()
        wait_for(lambda: len(told.latencies_ms) > 1, [node, camera], _START_S, "a mask")
        time.sleep(2.0)  # until the first frames, and what they had to wait for, are over
        told.begin()
        before = dict(told.counts)
        time.sleep(budget_s)
        masks, latencies_ms = len(told.latencies_ms), list(told.latencies_ms)
        wait_for(lambda: len(told.pipeline_ms) > 1, [node, camera], 10.0, "diagnostics")
        after = dict(told.counts)
    if not latencies_ms:
        raise ValueError(f"expected masks within {budget_s:g} s, got none: allow more seconds")
    grown = {name: after[name] - before.get(name, 0) for name in after}
    dropped = sum(count for name, count in grown.items() if name.startswith("dropped"))
    median_ms = float(np.median(told.pipeline_ms))
    return _Observed(masks, latencies_ms, median_ms, grown.get("images received", 0), dropped)


class _Told:
    """What a node's subscribers are told: masks with their age, and once a second what its stages took."""

    def __init__(self, here: Node) -> None:
        self._clock = here.get_clock()
        self.begin()
        self.counts: dict[str, int] = {}
        here.create_subscription(Image, f"{_NODE}/mask", self._mask, FRAME_QOS, raw=True)
        here.create_subscription(PointCloud2, f"{_NODE}/points", lambda _: None, FRAME_QOS, raw=True)
        here.create_subscription(DiagnosticArray, DIAGNOSTICS.name, self._status, 10)

    def begin(self) -> None:
        """Forget what was told."""
        self.latencies_ms: list[float] = []
        self.pipeline_ms: list[float] = []

    def _mask(self, data: bytes) -> None:
        self.latencies_ms.append((self._clock.now().nanoseconds - read_stamp_ns(data)) / 1e6)

    def _status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {each.key: each.value for each in status.values}
            stages = ("read", "network", "labels", "points", "publish")
            if all(f"{stage} [ms]" in values for stage in stages):
                self.pipeline_ms.append(sum(float(values[f"{stage} [ms]"]) for stage in stages))
            self.counts = {
                name: int(text)
                for name, text in values.items()
                if name.startswith("dropped") or name == "images received"
            }
