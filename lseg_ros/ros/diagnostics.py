"""Statistics of each camera, and their publication on /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from lseg_ros.quoting import escape
from lseg_ros.ros.topics import DIAGNOSTICS

__all__ = ["UNLABELED_THRESHOLD", "Diagnostics", "Report", "Statistics"]

UNLABELED_THRESHOLD = "unlabeled_threshold"  # name of the value that holds the threshold that the node uses
_WINDOW_S = 5.0  # rates are averaged over this time
_SILENCE_S = 3.0  # after this time without an image, the images are reported as missing
_PROBLEM_S = 5.0  # a problem is reported until it has not occurred for this time
_BUSY_COUNT = 3  # superseded images within the window that show that the node is the bottleneck
# What to change if a stage takes the most time.
_REMEDIES = {
    "wait": "depth and camera_info arrive long after their image",
    "read": "use smaller images, or raw instead of compressed images (image_transport)",
    "network": "use a GPU (device), a smaller input_size or a smaller network (checkpoint)",
    "labels": "use fewer labels",
    "overlay": "computed only while ~/overlay has a subscriber",
    "points": "computed only while a cloud or the summary has a subscriber",
    "clouds": "use fewer cloud_labels or a smaller depth_max_m",
    "cloud": "computed only while ~/cloud, a cloud of a label or the summary has a subscriber",
    "summary": "computed only while ~/summary has a subscriber",
    "publish": "use fewer subscribers or more shared memory for large messages",
}


class Statistics:
    """Counts and times of one camera. Any thread may call any method."""

    def __init__(self) -> None:
        """Start with no images."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._arrivals_s: deque[float] = deque(maxlen=1000)
        self._done_s: deque[float] = deque(maxlen=1000)
        self._superseded_s: deque[float] = deque(maxlen=_BUSY_COUNT)
        self._latencies_s: deque[float] = deque(maxlen=200)
        self._age_s = float("nan")
        self._stage_ms: Mapping[str, float] = {}
        self._problems: dict[str, tuple[float, int, str]] = {}  # by source: end of validity, level, text

    def received(self, now_s: float) -> None:
        """Count an image that arrived at this monotonic time."""
        with self._lock:
            self._counts["images received"] += 1
            self._arrivals_s.append(now_s)

    def dropped(self, cause: str) -> None:
        """Count an image that was dropped."""
        with self._lock:
            self._counts[f"dropped: {cause}"] += 1

    def superseded(self) -> None:
        """Count an image that was dropped because a newer one arrived before it was processed."""
        with self._lock:
            self._counts["dropped: newer image came"] += 1
            self._superseded_s.append(time.monotonic())

    def unmatched(self, topic: str) -> None:
        """Count an image without a matching message on another topic."""
        with self._lock:
            self._counts[f"without {topic}"] += 1

    def processed(self, now_s: float, latency_s: float, age_s: float, stage_ms: Mapping[str, float]) -> None:
        """Count a published frame.

        Args:
            now_s: Monotonic time of publication.
            latency_s: Time since the image arrived.
            age_s: Time since the stamp of the image.
            stage_ms: Milliseconds of each processing stage.
        """
        with self._lock:
            self._counts["frames processed"] += 1
            self._done_s.append(now_s)
            self._latencies_s.append(latency_s)
            self._age_s, self._stage_ms = age_s, stage_ms

    def problem(self, source: str, text: str, *, error: bool = False, last_s: float = _PROBLEM_S) -> None:
        """Report a problem. It replaces the previous problem of the same source.

        Args:
            source: What the problem is about, such as a topic.
            text: Description and advice.
            error: Report an error instead of a warning.
            last_s: How long the problem stays in the diagnostics, in seconds.
        """
        with self._lock:
            self._problems[source] = (time.monotonic() + last_s, 2 if error else 1, text)

    def problems(self) -> list[tuple[int, str]]:
        """List the current problems as level (1 warning, 2 error) and text, errors first."""
        now_s = time.monotonic()
        with self._lock:
            current = {source: problem for source, problem in self._problems.items() if now_s < problem[0]}
            self._problems = current
        return sorted(((level, f"{source}: {text}") for source, (_, level, text) in current.items()), reverse=True)

    def shortfall(self, requested_hz: float) -> str:
        """Explain why the rate is below ``max_rate_hz`` although enough images arrive.

        Returns:
            The explanation, or "" if the rate is not too low or too few images arrive.
        """
        with self._lock:
            rate_hz, image_rate_hz = _rate(self._done_s), _rate(self._arrivals_s)
            oldest_s = self._superseded_s[0] if len(self._superseded_s) == _BUSY_COUNT else -np.inf
            busy = time.monotonic() - oldest_s < _WINDOW_S
            if not (busy and 0 < rate_hz < 0.8 * requested_hz <= image_rate_hz):
                return ""
            stage = max(self._stage_ms, key=lambda name: self._stage_ms[name])
            slowest = f"the slowest stage is {stage} ({self._stage_ms[stage]:.0f} ms)"
        return f"{rate_hz:.1f} Hz instead of {requested_hz:g} Hz (max_rate_hz); {slowest}: {_REMEDIES.get(stage, '')}"

    def receiving(self) -> bool:
        """Return whether an image arrived in the last three seconds."""
        with self._lock:
            return bool(self._arrivals_s) and time.monotonic() - self._arrivals_s[-1] < _SILENCE_S

    def rate_hz(self) -> float:
        """Return the frames processed per second over the last five seconds."""
        with self._lock:
            return _rate(self._done_s)

    def values(self) -> dict[str, str]:
        """Return all counts and times by name, as text."""
        with self._lock:
            values = {"rate [Hz]": f"{_rate(self._done_s):.2f}", "image rate [Hz]": f"{_rate(self._arrivals_s):.2f}"}
            if self._latencies_s:
                p50, p95 = np.percentile(self._latencies_s, (50, 95)) * 1e3
                values |= {"latency p50 [ms]": f"{p50:.1f}", "latency p95 [ms]": f"{p95:.1f}"}
                values["frame age [s]"] = f"{self._age_s:.3f}"
            values |= {f"{stage} [ms]": f"{ms:.1f}" for stage, ms in self._stage_ms.items()}
            return values | {name: str(count) for name, count in sorted(self._counts.items())}


@dataclass(frozen=True)
class Report:
    """State of one camera.

    Attributes:
        name: Name of the status.
        values: Values of the status, by name.
        problems: Level and text, as from ``Statistics.problems``.
        message: Message of the status if there are no problems.
    """

    name: str
    values: Mapping[str, str]
    problems: Sequence[tuple[int, str]]
    message: str


class Diagnostics:
    """Publisher of /diagnostics."""

    def __init__(self, node: Node) -> None:
        """Create the topic.

        Args:
            node: The node that publishes.
        """
        self._node = node
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._publisher = node.create_publisher(DiagnosticArray, DIAGNOSTICS.name, 10)

    def publish(self, reports: Iterable[Report]) -> None:
        """Publish one status per report.

        A status has the level of the worst problem and lists all problems.
        """
        message = DiagnosticArray(status=[self._status(report) for report in reports])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _status(self, report: Report) -> DiagnosticStatus:
        status = DiagnosticStatus(name=f"{self._name}: {report.name}", hardware_id=report.values.get("device", ""))
        status.level = bytes([max((level for level, _ in report.problems), default=0)])
        status.message = escape("; ".join(text for _, text in report.problems) or report.message)
        status.values = [KeyValue(key=key, value=value) for key, value in report.values.items()]
        return status


def _rate(times_s: deque[float]) -> float:
    """Return the events per second over the window, 0 for fewer than two events."""
    now_s = time.monotonic()
    recent_s = [time_s for time_s in times_s if now_s - time_s <= _WINDOW_S]
    if len(recent_s) < 2:
        return 0.0
    end_s = now_s if now_s - recent_s[-1] > 1 else recent_s[-1]  # the rate of a stream that stopped decreases
    return (len(recent_s) - 1) / max(end_s - recent_s[0], 1e-9)
