"""Measure the start time, the frame rate and the latency of the node."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2

from benchmarks.ros.processes import cpu_s, make_environment, measuring_node, start_module
from lseg_ros.cdr import read_stamp_ns
from lseg_ros.demo.processes import ChildProcess, wait_for
from lseg_ros.ros.topics import DIAGNOSTICS, FRAME_QOS

__all__ = ["Latency", "measure_latency", "measure_rate"]

_START_TIMEOUT_S = 180.0
_SETTLE_S = 2.0
_NODE = "/lseg"
_FULL_RATE_HZ = 30.0
_LABELS = 20
_STAGES = ("read", "network", "labels", "points", "publish")


@dataclass(frozen=True)
class Latency:
    """The result of ``measure_latency``.

    Attributes:
        ready_s: Time from the start of the process until it logs its labels.
        rate_hz: Rate of the masks with a camera at 30 Hz.
        half_hz: Half of that rate; the values below are measured with a camera at this rate.
        p50_ms: Median time from the stamp to the arrival of the mask in another process.
        p95_ms: 95th percentile of the same.
        pipeline_ms: Median of the total time of the node's stages.
        received: Number of images that the node received.
        dropped: Number of images that the node dropped.
    """

    ready_s: float
    rate_hz: float
    half_hz: float
    p50_ms: float
    p95_ms: float
    pipeline_ms: float
    received: int
    dropped: int


def measure_latency(budget_s: float, folder: Path, checkpoint: str = "demo", engine: str = "auto") -> Latency:
    """Measure the node with 20 labels and a 640x480 camera with depth.

    The mask and the organized cloud have subscribers.

    Args:
        budget_s: Time to spend on each camera rate.
        folder: Folder for logs.
        checkpoint: Preset or weights file.
        engine: Parameter ``engine`` of the node. The first start with ``auto`` or ``onnxruntime`` exports the network.
    """
    start_s = time.monotonic()
    with _running_node(folder, checkpoint, engine) as bench:
        ready_s = time.monotonic() - start_s
        rate_hz = len(bench.observe(_FULL_RATE_HZ, budget_s).latencies_ms) / budget_s
        half = bench.observe(max(rate_hz / 2, 0.1), budget_s)
    p50_ms, p95_ms = (float(value) for value in np.percentile(half.latencies_ms, (50, 95)))
    return Latency(ready_s, rate_hz, rate_hz / 2, p50_ms, p95_ms, half.pipeline_ms, half.received, half.dropped)


def measure_rate(budget_s: float, folder: Path, checkpoint: str, engine: str) -> tuple[float, float]:
    """Measure the node with a camera at 30 Hz, otherwise like ``measure_latency``.

    Args:
        budget_s: Time to spend.
        folder: Folder for logs.
        checkpoint: Preset or weights file.
        engine: Parameter ``engine`` of the node.

    Returns:
        Masks per second, and the CPU time of the node per mask in milliseconds.
    """
    with _running_node(folder, checkpoint, engine) as bench:
        seen = bench.observe(_FULL_RATE_HZ, budget_s)
    return len(seen.latencies_ms) / budget_s, 1e3 * seen.cpu_s / len(seen.latencies_ms)


@dataclass(frozen=True)
class _Observation:
    """What the node did at one camera rate; see ``Latency`` for the fields."""

    latencies_ms: list[float]
    cpu_s: float
    pipeline_ms: float
    received: int
    dropped: int


@contextmanager
def _running_node(folder: Path, checkpoint: str, engine: str) -> Iterator[_Bench]:
    """Run the node, ready for images, with subscribers in this process."""
    environment = make_environment()
    labels = [f"thing {number}" for number in range(1, _LABELS + 1)]
    parameters = {"checkpoint": checkpoint, "engine": engine, "labels": labels}
    node_process = start_module("lseg_ros.ros.__main__", parameters, folder, environment)
    with node_process, measuring_node(environment) as observer:
        wait_for(lambda: "looking for" in node_process.output, [node_process], _START_TIMEOUT_S, "a ready node")
        yield _Bench(node_process, _NodeOutputs(observer), folder, environment)


@dataclass(frozen=True)
class _Bench:
    """A running node, and what observes it."""

    node_process: ChildProcess
    outputs: _NodeOutputs
    folder: Path
    environment: Mapping[str, str]

    def observe(self, rate_hz: float, budget_s: float) -> _Observation:
        """Run a camera at this rate and collect the outputs of the node."""
        outputs = self.outputs
        with start_module("benchmarks.ros.camera", {"rate_hz": rate_hz}, self.folder, self.environment) as camera:
            children = [self.node_process, camera]
            outputs.clear()
            wait_for(lambda: len(outputs.latencies_ms) > 1, children, _START_TIMEOUT_S, "a mask")
            time.sleep(_SETTLE_S)  # the first frames are slower
            outputs.clear()
            before, cpu_before_s = dict(outputs.counts), cpu_s(self.node_process.pid)
            time.sleep(budget_s)
            latencies_ms, used_s = list(outputs.latencies_ms), cpu_s(self.node_process.pid) - cpu_before_s
            wait_for(lambda: len(outputs.pipeline_ms) > 1, children, 10.0, "diagnostics")
            after = dict(outputs.counts)
        if not latencies_ms:
            raise ValueError(f"expected masks within {budget_s:g} s, got none: increase --seconds")
        counts = {name: after[name] - before.get(name, 0) for name in after}
        dropped = sum(count for name, count in counts.items() if name.startswith("dropped"))
        received = counts.get("images received", 0)
        return _Observation(latencies_ms, used_s, float(np.median(outputs.pipeline_ms)), received, dropped)


class _NodeOutputs:
    """Subscribes to the masks and diagnostics of the node.

    Attributes:
        latencies_ms: Time from stamp to arrival of each mask.
        pipeline_ms: Total time of the stages, once per diagnostics message.
        counts: Latest counts of received and dropped images by name.
    """

    def __init__(self, observer: Node) -> None:
        self._clock = observer.get_clock()
        self.clear()
        self.counts: dict[str, int] = {}
        observer.create_subscription(Image, f"{_NODE}/mask", self._on_mask, FRAME_QOS, raw=True)
        observer.create_subscription(PointCloud2, f"{_NODE}/points", lambda _: None, FRAME_QOS, raw=True)
        observer.create_subscription(DiagnosticArray, DIAGNOSTICS.name, self._on_diagnostics, 10)

    def clear(self) -> None:
        """Remove all times collected so far."""
        self.latencies_ms: list[float] = []
        self.pipeline_ms: list[float] = []

    def _on_mask(self, data: bytes) -> None:
        self.latencies_ms.append((self._clock.now().nanoseconds - read_stamp_ns(data)) / 1e6)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            if all(f"{stage} [ms]" in values for stage in _STAGES):
                self.pipeline_ms.append(sum(float(values[f"{stage} [ms]"]) for stage in _STAGES))
            self.counts = {
                name: int(text)
                for name, text in values.items()
                if name.startswith("dropped") or name == "images received"
            }
