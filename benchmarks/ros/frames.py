"""Measure a whole RGB-D frame without the network, on one core.

The node is compared with a naive baseline.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from std_msgs.msg import UInt64

from benchmarks.ros.listener import RECEIVED
from benchmarks.ros.naive_baseline import NaiveBaseline
from benchmarks.ros.node_path import NodePath, make_segmentation
from benchmarks.ros.processes import make_environment, measuring_node, start_module
from benchmarks.ros.serialized_frame import serialize_frame
from lseg_ros.benchmark import Timing, measure_interleaved
from lseg_ros.demo.processes import wait_for
from lseg_ros.pipeline import Outputs

__all__ = ["Frames", "measure_frames"]

_START_TIMEOUT_S = 60.0
_NAIVE = "naive"
_NODE = "lseg"
_QUIET_S = 1.2  # the listener publishes its count every 0.5 s


@dataclass(frozen=True)
class Frames:
    """The result of ``measure_frames``.

    Attributes:
        node: Time of the node's code per frame.
        naive: Time of the naive baseline per frame.
        speedup: Ratio of the medians, naive / node.
        stage_ms: Median of each stage of the node's code.
        published: Number of published messages.
        received: Number of messages that reached the subscriber process.
    """

    node: Timing
    naive: Timing
    speedup: float
    stage_ms: dict[str, float]
    published: int
    received: int


def measure_frames(budget_s: float, folder: Path, height: int = 480, width: int = 640) -> Frames:
    """Measure the node and the naive baseline in turn.

    Both run in this process on one core. A subscriber process runs on the other cores.

    Args:
        budget_s: Time to spend on each of the two.
        folder: Folder for logs.
        height: Height of the frame.
        width: Width of the frame.
    """
    frame = serialize_frame(height, width)
    segmentation = make_segmentation(frame)
    environment = make_environment()
    prefixes = (f"/{_NODE}", f"/{_NAIVE}")
    suffixes = ["", *(f"/{label.slug}" for label in segmentation.vocabulary.labels)]
    topics = {
        "images": [f"{prefix}/{name}" for prefix in prefixes for name in ("mask", "confidence")],
        "clouds": [f"{prefix}/points{suffix}" for prefix in prefixes for suffix in suffixes],
    }
    counter = _ReceivedCounter()
    # Start the child first, so that it does not inherit the restriction to one core.
    with (
        start_module("benchmarks.ros.listener", topics, folder, environment) as child,
        _one_core(),
        measuring_node(environment, _NODE) as node,
    ):
        node.create_subscription(UInt64, f"/{RECEIVED}", counter, 1)
        node_path, naive = NodePath(node, frame), NaiveBaseline(node, frame, segmentation, prefixes[1])
        outputs = Outputs.POINTS | Outputs.LABEL_CLOUDS
        wait_for(
            lambda: node_path.requested_outputs() == outputs and naive.has_subscribers(),
            [child],
            _START_TIMEOUT_S,
            "a subscriber",
        )
        stages: list[dict[str, float]] = []
        timings = measure_interleaved({"node": lambda: stages.append(node_path.run()), "naive": naive.run}, budget_s)
        stage_ms = {name: float(np.median([stage[name] for stage in stages])) for name in stages[0]}
        published = len(stages) * sum(map(len, topics.values()))  # both ran equally often
        received = counter.wait_until_quiet()
        node_path.destroy()
    node_timing, naive_timing = timings["node"], timings["naive"]
    speedup = naive_timing.median_ms / node_timing.median_ms
    return Frames(node_timing, naive_timing, speedup, stage_ms, published, received)


class _ReceivedCounter:
    """Callback that keeps the count that the subscriber process publishes."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Event()

    def __call__(self, message: UInt64) -> None:
        if message.data != self._count:
            self._changed.set()
        self._count = message.data

    def wait_until_quiet(self) -> int:
        """Wait until the count stops growing and return it."""
        while True:
            self._changed.clear()
            time.sleep(_QUIET_S)
            if not self._changed.is_set():
                return self._count


@contextmanager
def _one_core() -> Iterator[None]:
    """Restrict this thread and threads that it starts to one core, and OpenCV to one thread."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        if cores:
            os.sched_setaffinity(0, cores)
