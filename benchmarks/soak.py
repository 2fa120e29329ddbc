"""``python -m benchmarks.soak``: run the node for a long time among restless neighbors.

The node runs in a process with a camera. This process changes the labels every second, sends queries, pauses and
resumes the node, and subscribes to its outputs for a few seconds at a time. Memory, threads and file descriptors of the
node are sampled. The command exits with status 1 if one of the goals is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lseg_ros.msg import SegmentationSummary, Vocabulary
from lseg_ros.srv import QueryLabel, SetLabels
from rclpy.context import Context
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_srvs.srv import SetBool

from benchmarks.ros.processes import make_environment, measuring_node, start_module
from lseg_ros.benchmark import busy_warning, describe_machine
from lseg_ros.benchmark.report import format_facts
from lseg_ros.cdr import image_from_cdr
from lseg_ros.demo.processes import ChildProcess, wait_for
from lseg_ros.ros.topics import FRAME_QOS, LATCHED_QOS

__all__ = ["Goal", "Minute", "Sample", "check_goals", "main", "read_sample", "summarize_minutes"]

_START_TIMEOUT_S = 600.0
_WARM_UP_S = 300.0  # caches fill, and the allocator reaches its final size
_MAX_GROWTH = 0.01
_SAMPLE_PERIOD_S = 1.0
_GRACE_S = 5.0  # between a mask and the vocabulary that announces its ids: two topics have no common order
_NODE = "/lseg"
_OUTPUTS: dict[str, type] = {
    "overlay": Image,
    "confidence": Image,
    "mask/compressed": CompressedImage,
    "points": PointCloud2,
    "points/floor": PointCloud2,
    "summary": SegmentationSummary,
}
_WORDS = (
    "floor", "wall", "chair|seat", "table|desk", "person|human", "plant", "sofa|couch", "lamp", "door", "window", "box",
    "ball", "car|automobile", "tree", "sky", "grass|lawn", "road", "building", "dog|puppy", "cat", "cup", "bottle",
    "book", "screen|monitor", "bed", "cabinet", "carpet|rug", "ceiling", "shelf", "fence",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """What the operating system reports about the node at one moment.

    Attributes:
        time_s: Seconds since the start of the measurement.
        memory_mib: Resident memory.
        threads: Number of threads.
        descriptors: Number of open file descriptors.
    """

    time_s: float
    memory_mib: float
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Minute:
    """The samples of one minute.

    Attributes:
        number: Minutes since the start of the measurement, from 0.
        memory_mib: Median of the resident memory.
        threads: Smallest number of threads: temporary threads come and go, and one that stays raises it.
        descriptors: Smallest number of file descriptors.
        events: Masks, label changes, queries, pauses and visits in this minute, by name.
    """

    number: int
    memory_mib: float
    threads: int
    descriptors: int
    events: dict[str, int]


@dataclass(frozen=True)
class Goal:
    """One goal of a run.

    Attributes:
        name: What is required.
        value: What was observed.
        met: Whether the goal is met.
    """

    name: str
    value: str
    met: bool


def main() -> None:
    """Run, print the table and the goals, and write the JSON report."""
    arguments = _parse_arguments()
    facts = describe_machine()
    print(format_facts(facts))
    if warning := busy_warning():
        print(f"\n{warning}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            minutes, goals = _soak(arguments.minutes * 60, arguments.checkpoint, Path(folder))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
    print()
    for goal in goals:
        print(f"{'met   ' if goal.met else 'missed'}  {goal.name}: {goal.value}")
    report = {
        "machine": facts,
        "checkpoint": arguments.checkpoint,
        "minutes": [dataclasses.asdict(minute) for minute in minutes],
        "goals": [dataclasses.asdict(goal) for goal in goals],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {arguments.json}")
    sys.exit(0 if all(goal.met for goal in goals) else 1)


def read_sample(pid: int, start_s: float) -> Sample:
    """Read memory, threads and descriptors of a process (Linux).

    Args:
        pid: The process.
        start_s: Monotonic time of the start of the measurement.

    Raises:
        OSError: If the process has ended.
    """
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    fields = {name: value.split()[0] for name, _, value in lines if name in ("VmRSS", "Threads")}
    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(time.monotonic() - start_s, int(fields["VmRSS"]) / 1024, int(fields["Threads"]), descriptors)


def summarize_minutes(samples: Iterable[Sample], events: Iterable[tuple[float, str]]) -> list[Minute]:
    """Summarize samples and events by minute.

    Args:
        samples: The samples in the order of time.
        events: Time in seconds since the start of the measurement, and name, of each event.
    """
    counts: dict[int, Counter[str]] = {}
    for time_s, name in events:
        counts.setdefault(int(time_s // 60), Counter())[name] += 1
    return [
        Minute(
            number,
            float(np.median([sample.memory_mib for sample in group])),
            min(sample.threads for sample in group),
            min(sample.descriptors for sample in group),
            dict(counts.get(number, {})),
        )
        for number, group in (
            (number, list(group)) for number, group in itertools.groupby(samples, lambda item: int(item.time_s // 60))
        )
    ]


def check_goals(minutes: Sequence[Minute], unannounced: Sequence[int], output: str, status: int) -> list[Goal]:
    """Compare a run with the goals.

    The reference is the first minute after a warm-up of five minutes, or of half the run if that is shorter.

    Args:
        minutes: The minutes of the run.
        unannounced: Ids that masks contained but no vocabulary announced.
        output: Log of the node.
        status: Exit status of the node after SIGINT.
    """
    after = minutes[min(int(_WARM_UP_S // 60), len(minutes) // 2) :]
    reference = after[0]
    growth = max(minute.memory_mib for minute in after) / reference.memory_mib - 1
    threads = max(minute.threads for minute in after) - reference.threads
    descriptors = max(minute.descriptors for minute in after) - reference.descriptors
    masks = sum(minute.events.get("masks", 0) for minute in after)
    failures = sum(count for minute in minutes for name, count in minute.events.items() if name.startswith("failed"))
    return [
        Goal(
            f"memory grows by at most {_MAX_GROWTH:.0%} after minute {reference.number}",
            f"{growth:+.2%} of {reference.memory_mib:.0f} MiB",
            growth <= _MAX_GROWTH,
        ),
        Goal("no additional thread", f"{threads:+d} of {reference.threads}", threads <= 0),
        Goal("no additional descriptor", f"{descriptors:+d} of {reference.descriptors}", descriptors <= 0),
        Goal("masks", f"{masks} after the warm-up", masks > 0),
        Goal("no mask with an unannounced id", str(sorted(unannounced) or "none"), not unannounced),
        Goal("every request succeeds", f"{failures} failed", failures == 0),
        Goal("no traceback", f"{output.count('Traceback')} in the log", "Traceback" not in output),
        Goal("exit status 0", str(status), status == 0),
    ]


class Neighbors:
    """A subscriber of the masks, and restless programs, in the executor of a node.

    Attributes:
        events: Time in seconds since the start of the measurement, and name, of each event.
        segmenting: Whether a mask has arrived.
    """

    def __init__(self, node: Node, domain: int) -> None:
        """Subscribe to mask and vocabulary.

        Args:
            node: The node that subscribes and sends requests.
            domain: ROS domain of the node.
        """
        self.events: list[tuple[float, str]] = []
        self.segmenting = False
        self._node = node
        self._start_s = math.inf
        self._domain = domain
        self._announced: set[int] = set()
        self._seen: dict[int, float] = {}  # when an id that is not announced was first in a mask
        self._changes = itertools.count()
        self._visits: list[Subscription] = []
        self._set_labels = node.create_client(SetLabels, f"{_NODE}/set_labels")
        self._query = node.create_client(QueryLabel, f"{_NODE}/query")
        self._enable = node.create_client(SetBool, f"{_NODE}/enable")
        node.create_subscription(Vocabulary, f"{_NODE}/vocabulary", self._on_vocabulary, LATCHED_QOS)
        node.create_subscription(Image, f"{_NODE}/mask", self._on_mask, FRAME_QOS, raw=True)

    def start(self, start_s: float) -> None:
        """Start the timers of the restless programs.

        Args:
            start_s: Monotonic time of the start of the measurement.
        """
        self._start_s = start_s
        self._node.create_timer(1.0, self._change_labels)
        self._node.create_timer(0.7, self._send_query)
        self._node.create_timer(3.0, self._change_visits)
        self._node.create_timer(10.0, self._join_and_leave)
        self._node.create_timer(20.0, self._toggle)

    def unannounced(self) -> list[int]:
        """Return the ids in masks that were not announced in time."""
        now_s = time.monotonic()
        return [label_id for label_id, seen_s in list(self._seen.items()) if now_s - seen_s > _GRACE_S]

    def _count(self, name: str) -> None:
        if (time_s := time.monotonic() - self._start_s) >= 0:
            self.events.append((time_s, name))

    def _on_vocabulary(self, message: Vocabulary) -> None:
        self._announced |= {label.id for label in (*message.labels, *message.retired)}
        now_s = time.monotonic()
        for label_id in [label_id for label_id in self._seen if label_id in self._announced]:
            if now_s - self._seen[label_id] <= _GRACE_S:
                del self._seen[label_id]

    def _on_mask(self, data: bytes) -> None:
        self.segmenting = True
        self._count("masks")
        for label_id in np.unique(np.frombuffer(image_from_cdr(data).data, np.uint8)).tolist():
            if label_id and label_id not in self._announced:
                self._seen.setdefault(label_id, time.monotonic())

    def _change_labels(self) -> None:
        """Replace the labels by 3 to 20 words, and append one every third time."""
        number = next(self._changes)
        first, count = 7 * number % len(_WORDS), 3 + 5 * number % 18
        words = [_WORDS[(first + offset) % len(_WORDS)] for offset in range(count)]
        request = SetLabels.Request(labels=words, mode=SetLabels.Request.REPLACE)
        if number % 3 == 2:
            request = SetLabels.Request(labels=[f"thing {number % 100}"], mode=SetLabels.Request.APPEND)
        self._call(self._set_labels, request, "label changes")

    def _send_query(self) -> None:
        number = next(self._changes)
        request = QueryLabel.Request(text=f"{_WORDS[number % len(_WORDS)]}|thing {number}", no_image=number % 2 == 0)
        self._call(self._query, request, "queries")

    def _toggle(self) -> None:
        """Pause for 2 s."""
        self._call(self._enable, SetBool.Request(data=False), "pauses")

        def resume() -> None:
            timer.cancel()
            self._node.destroy_timer(timer)
            self._call(self._enable, SetBool.Request(data=True), "resumes")

        timer = self._node.create_timer(2.0, resume)

    def _call(self, client: Any, request: Any, name: str) -> None:
        def count(future: Any) -> None:
            self._count(name if future.result().success else f"failed {name}")

        if client.service_is_ready():
            client.call_async(request).add_done_callback(count)

    def _change_visits(self) -> None:
        """Subscribe to a few outputs, other ones than before."""
        for subscription in self._visits:
            self._node.destroy_subscription(subscription)
        number = next(self._changes)
        names = [name for index, name in enumerate(_OUTPUTS) if number >> index & 1]
        self._visits = [
            self._node.create_subscription(_OUTPUTS[name], f"{_NODE}/{name}", lambda _: None, FRAME_QOS, raw=True)
            for name in names
        ]
        self._count("visits")

    def _join_and_leave(self) -> None:
        """Join with a participant, as ``ros2 topic echo`` does, and leave again."""
        context = Context()
        context.init(domain_id=self._domain)
        try:
            visitor = Node("visitor", context=context, start_parameter_services=False)
            visitor.create_subscription(Image, f"{_NODE}/overlay", lambda _: None, FRAME_QOS)
            time.sleep(0.3)  # for the discovery
            visitor.destroy_node()
        finally:
            context.shutdown()
        self._count("participants")


def _soak(duration_s: float, checkpoint: str, folder: Path) -> tuple[list[Minute], list[Goal]]:
    """Run for a time and return the minutes and the goals."""
    environment = make_environment()
    parameters = {"checkpoint": checkpoint, "labels": list(_WORDS[:6])}
    camera_parameters = {"width": 320, "height": 240, "rate_hz": 10.0}
    node_process = start_module("lseg_ros.ros.__main__", parameters, folder, environment)
    camera = start_module("benchmarks.ros.camera", camera_parameters, folder, environment)
    with node_process, camera:
        wait_for(lambda: "looking for" in node_process.output, [node_process, camera], _START_TIMEOUT_S, "a ready node")
        with measuring_node(environment, "neighbors") as node:
            neighbors = Neighbors(node, int(environment["ROS_DOMAIN_ID"]))
            wait_for(lambda: neighbors.segmenting, [node_process, camera], _START_TIMEOUT_S, "a mask")
            start_s = time.monotonic()
            neighbors.start(start_s)
            samples = _sample(node_process, camera, neighbors, start_s, duration_s)
            unannounced = neighbors.unannounced()
        node_process.interrupt()
        try:
            status = node_process.wait(30.0)
        except subprocess.TimeoutExpired:
            status = -1
        minutes = summarize_minutes(samples, neighbors.events)
        return minutes, check_goals(minutes, unannounced, node_process.output, status)


def _sample(
    process: ChildProcess, camera: ChildProcess, neighbors: Neighbors, start_s: float, duration_s: float
) -> list[Sample]:
    """Sample the node until the time is over, and print a row for every minute."""
    samples: list[Sample] = []
    print(f"\n{'minute':>6}{'MiB':>9}{'threads':>9}{'files':>7}  events", flush=True)
    while (elapsed_s := time.monotonic() - start_s) < duration_s:
        camera.check()
        process.check()
        samples.append(read_sample(process.pid, start_s))
        if len(samples) > 1 and samples[-1].time_s // 60 > samples[-2].time_s // 60:
            _print_minute(summarize_minutes(samples[:-1], list(neighbors.events))[-1])
        time.sleep(min(_SAMPLE_PERIOD_S, duration_s - elapsed_s))
    _print_minute(summarize_minutes(samples, list(neighbors.events))[-1])
    return samples


def _print_minute(minute: Minute) -> None:
    events = ", ".join(f"{count} {name}" for name, count in sorted(minute.events.items()))
    row = f"{minute.number:>6}{minute.memory_mib:>9.1f}{minute.threads:>9}{minute.descriptors:>7}  {events}"
    print(row, flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description="Run the node for a long time and check that it stays the same."
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="duration of the run (default: %(default)s)")
    parser.add_argument("--checkpoint", default="demo", help="network (default: %(default)s)")
    parser.add_argument(
        "--json", type=Path, default=Path("out/soak.json"), help="file for the report (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
