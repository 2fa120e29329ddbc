"""How the node is doing: counts from every thread, told once a second on /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from lseg_ros.ros.topics import DIAGNOSTICS

__all__ = ["Diagnostics", "Report", "Statistics"]

_WINDOW_S = 5.0
_SILENCE_S = 3.0  # after which images are missed
_PROBLEM_S = 5.0  # a problem that has not come back for so long is over
_BUSY = 3  # images pushed out within the window, after which it is the node that is slow
# What to change where a stage takes most of the time.
_REMEDIES = {
    "wait": "depth and camera_info come late after their image",
    "read": "smaller images, or raw instead of compressed ones (image_transport), would help",
    "network": "a GPU (device), a smaller input_size or a smaller network (checkpoint) would help",
    "labels": "fewer labels would help",
    "overlay": "it is made only while ~/overlay has a subscriber",
    "points": "they are made only while a cloud or the summary has a subscriber",
    "clouds": "fewer cloud_labels or a smaller depth_max_m would help",
    "summary": "it is made only while ~/summary has a subscriber",
    "publish": "fewer subscribers, or more room in shared memory for large messages, would help",
}


class Statistics:
    """Counts and times of the frames so far. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._arrivals_s: deque[float] = deque(maxlen=1000)
        self._done_s: deque[float] = deque(maxlen=1000)
        self._superseded_s: deque[float] = deque(maxlen=_BUSY)
        self._latencies_s: deque[float] = deque(maxlen=200)
        self._age_s = float("nan")
        self._stage_ms: Mapping[str, float] = {}
        self._problems: dict[str, tuple[float, int, str]] = {}

    def received(self, now_s: float) -> None:
        with self._lock:
            self._counts["images received"] += 1
            self._arrivals_s.append(now_s)

    def dropped(self, cause: str) -> None:
        with self._lock:
            self._counts[f"dropped: {cause}"] += 1

    def superseded(self) -> None:
        """An image was dropped because a newer one came before its turn did."""
        with self._lock:
            self._counts["dropped: newer image came"] += 1
            self._superseded_s.append(time.monotonic())

    def missed(self, topic: str) -> None:
        with self._lock:
            self._counts[f"without {topic}"] += 1

    def processed(self, now_s: float, latency_s: float, age_s: float, stage_ms: Mapping[str, float]) -> None:
        """latency_s: since the image came. age_s: since its stamp."""
        with self._lock:
            self._counts["frames processed"] += 1
            self._done_s.append(now_s)
            self._latencies_s.append(latency_s)
            self._age_s, self._stage_ms = age_s, stage_ms

    def problem(self, source: str, text: str, *, error: bool = False, last_s: float = _PROBLEM_S) -> None:
        """Something that a person should know of, until it did not happen for ``last_s``. One by source."""
        with self._lock:
            self._problems[source] = (time.monotonic() + last_s, 2 if error else 1, text)

    def problems(self) -> list[tuple[int, str]]:
        """Level (1 warning, 2 error) and sentence of what is wrong now, the worst first."""
        now_s = time.monotonic()
        with self._lock:
            fresh = {key: each for key, each in self._problems.items() if now_s < each[0]}
            self._problems = fresh
        return sorted(((level, f"{source}: {text}") for source, (_, level, text) in fresh.items()), reverse=True)

    def shortfall(self, asked_hz: float) -> str:
        """Why fewer frames are processed than asked for, though enough images come; "" where that is not so."""
        with self._lock:
            rate_hz, image_rate_hz = _rate(self._done_s), _rate(self._arrivals_s)
            oldest_s = self._superseded_s[0] if len(self._superseded_s) == _BUSY else -np.inf
            busy = time.monotonic() - oldest_s < _WINDOW_S
            if not (busy and 0 < rate_hz < 0.8 * asked_hz <= image_rate_hz):
                return ""
            stage = max(self._stage_ms, key=lambda each: self._stage_ms[each])
            took = f"{stage} takes longest ({self._stage_ms[stage]:.0f} ms)"
        return f"{rate_hz:.1f} Hz of the {asked_hz:g} Hz of max_rate_hz: {took}; {_REMEDIES.get(stage, '')}"

    def receiving(self) -> bool:
        """Whether an image came lately."""
        with self._lock:
            return bool(self._arrivals_s) and time.monotonic() - self._arrivals_s[-1] < _SILENCE_S

    def rate_hz(self) -> float:
        """Frames processed in a second, over the last five."""
        with self._lock:
            return _rate(self._done_s)

    def values(self) -> dict[str, str]:
        """Everything counted and timed, by name, as text."""
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
    """How one camera is doing. problems: as of ``Statistics.problems``. fine: the message where there are none."""

    what: str
    values: Mapping[str, str]
    problems: Sequence[tuple[int, str]]
    fine: str


class Diagnostics:
    """Publishes how a node is doing."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._publisher = node.create_publisher(DiagnosticArray, DIAGNOSTICS.name, 10)

    def publish(self, reports: Iterable[Report]) -> None:
        """A status for each report: of the worst problem's level, with all of them as its message."""
        message = DiagnosticArray(status=[self._status(each) for each in reports])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _status(self, report: Report) -> DiagnosticStatus:
        status = DiagnosticStatus(name=f"{self._name}: {report.what}", hardware_id=report.values.get("device", ""))
        status.level = bytes([max((level for level, _ in report.problems), default=0)])
        status.message = "; ".join(text for _, text in report.problems) or report.fine
        status.values = [KeyValue(key=key, value=value) for key, value in report.values.items()]
        return status


def _rate(times_s: deque[float]) -> float:
    """Events in a second over the window, 0 where there were fewer than two."""
    now_s = time.monotonic()
    recent = [each for each in times_s if now_s - each <= _WINDOW_S]
    if len(recent) < 2:
        return 0.0
    until_s = now_s if now_s - recent[-1] > 1 else recent[-1]  # a stream that has stopped fades out
    return (len(recent) - 1) / max(until_s - recent[0], 1e-9)
