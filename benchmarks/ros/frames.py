"""Everything but the network for an RGB-D frame, on one core, beside the obvious way."""

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

from benchmarks.ros.listener import HEARD
from benchmarks.ros.naive_baseline import NaiveBaseline
from benchmarks.ros.processes import make_environment, measuring_node, start_module
from benchmarks.ros.ready import NodePath, ready_segmentation
from benchmarks.ros.recording import record
from lseg_ros.benchmark import Timing, measure_interleaved
from lseg_ros.demo.processes import wait_for
from lseg_ros.pipeline import Outputs

__all__ = ["Frames", "measure_frames"]

_START_S = 60.0
_OBVIOUS = "obvious"
_NODE = "lseg"


@dataclass(frozen=True)
class Frames:
    """stage_ms: medians of our stages. published, heard: messages that went out, and that a subscriber process got."""

    node: Timing
    naive: Timing
    speedup: float
    stage_ms: dict[str, float]
    published: int
    heard: int


def measure_frames(budget_s: float, folder: Path, height: int = 480, width: int = 640) -> Frames:
    """Both ways in turn, in this process on one core, published to one subscriber process on the others."""
    recorded = record(height, width)
    segmentation = ready_segmentation(recorded)
    domain, slugs = make_environment(), [label.slug for label in segmentation.vocabulary.labels]
    prefixes = (f"/{_NODE}", f"/{_OBVIOUS}")
    topics = {
        "images": [f"{prefix}/{name}" for prefix in prefixes for name in ("mask", "confidence")],
        "clouds": [f"{prefix}/points{slug}" for prefix in prefixes for slug in ("", *(f"/{each}" for each in slugs))],
    }
    heard = _Heard()
    # The child first: it is not to share the core that this process then keeps to.
    with (
        start_module("benchmarks.ros.listener", topics, folder, domain) as child,
        _one_core(),
        measuring_node(domain, _NODE) as node,
    ):
        node.create_subscription(UInt64, f"/{HEARD}", heard, 1)
        ours, obvious = NodePath(node, recorded), NaiveBaseline(node, recorded, segmentation, prefixes[1])
        everything = Outputs.POINTS | Outputs.LABEL_CLOUDS
        expected = len(topics["images"]) + len(topics["clouds"])
        wait_for(lambda: ours.wanted() == everything and obvious.heard(), [child], _START_S, "a subscriber")
        stages: list[dict[str, float]] = []
        timings = measure_interleaved({"ours": lambda: stages.append(ours.frame()), "obvious": obvious.frame}, budget_s)
        stage_ms = {stage: float(np.median([each[stage] for each in stages])) for stage in stages[0]}
        published = len(stages) * expected  # by both ways, as often as each other
        arrived = heard.settled()
        ours.destroy()
    return _result(timings["ours"], timings["obvious"], stage_ms, published, arrived)


def _result(ours: Timing, obvious: Timing, stage_ms: dict[str, float], published: int, heard: int) -> Frames:
    return Frames(ours, obvious, obvious.median_ms / ours.median_ms, stage_ms, published, heard)


class _Heard:
    """How many messages the subscriber process says it got."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Event()

    def __call__(self, message: UInt64) -> None:
        if message.data != self.count:
            self._changed.set()
        self.count = message.data

    def settled(self) -> int:
        """The count, once no more come."""
        while True:
            self._changed.clear()
            time.sleep(1.2)
            if not self._changed.is_set():
                return self.count


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and those that begin meanwhile, to one core; OpenCV to this thread."""
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
