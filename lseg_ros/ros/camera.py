"""One camera of the node: what comes from it, what goes out for it, and how it is doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from lseg_ros.messages import is_distorted
from lseg_ros.pipeline import EncodedFrame, FrameResult, Outputs
from lseg_ros.ros.conversions import assemble, make_header, with_depth
from lseg_ros.ros.diagnostics import Report, Statistics
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.publishers import Publishers
from lseg_ros.ros.subscriptions import CameraSubscriptions, RawImage
from lseg_ros.ros.topics import INFO
from lseg_ros.structures import Frame
from lseg_ros.vocabulary import Label

__all__ = ["Camera", "LastFrame", "PendingFrame"]

_IMPLAUSIBLE_AGE_S = 10.0


@dataclass(frozen=True, eq=False)
class PendingFrame:
    """An image whose turn has come, with all that belongs to it.

    camera_info: of the image, or None where it is not known. want: what someone subscribes to. arrived_s: when the
    image came (monotonic). stage_ms: how long its depth was waited for, and how long it took to read.
    """

    frame: Frame
    header: Header
    camera_info: CameraInfo | None
    want: Outputs
    arrived_s: float
    stage_ms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class LastFrame:
    """A frame that went out: its header, and what the network made of it."""

    header: Header
    embedded: EncodedFrame


class Camera:
    """Opened when the node is configured and subscribed while it is active; what it counts is for the node's life.

    name: "" where it is the only one, whose topics have no prefix. config: called for the settings that hold now.
    ``open`` to ``close``, ``publish`` and ``report`` exclude each other by a lock that the caller holds. ``seen``
    is the last frame that went out, for any thread to read.
    """

    def __init__(self, node: Node, name: str, config: Callable[[], NodeConfig]) -> None:
        self.name = name
        self.statistics = Statistics()
        self.seen: LastFrame | None = None
        self._node = node
        self._config = config
        self._knows_the_lens = False
        self._publishers: Publishers | None = None  # while open
        self._subscriptions: CameraSubscriptions | None = None  # while subscribed

    def open(self) -> None:
        """Have the topics of what goes out."""
        self._publishers = Publishers(
            self._node, self.name, lambda text: self.statistics.problem("QoS", text, last_s=60.0)
        )

    def set_labels(self, labels: Iterable[Label]) -> None:
        """Have a cloud topic for each of these labels, while open."""
        if self._publishers is not None:
            self._publishers.set_labels(labels)

    def sweep(self) -> None:
        """Take away the topics of labels that are gone."""
        if self._publishers is not None:
            self._publishers.sweep()

    def close(self) -> None:
        """Take away what ``open`` made, and forget the last frame."""
        if self._publishers is not None:
            self._publishers.destroy()
        self._publishers = self.seen = None

    def subscribe(self, mailbox: Mailbox[RawImage]) -> None:
        """Let images come, the newest into the mailbox under the camera's name."""
        self._subscriptions = CameraSubscriptions(self._node, self.name, mailbox, self.statistics, self._config)

    def unsubscribe(self) -> None:
        """Let no more come; the last frame keeps its depth."""
        self.seen = self.last()
        if self._subscriptions is not None:
            self._subscriptions.destroy()
        self._subscriptions = None

    def last(self) -> LastFrame | None:
        """The last frame that went out, with its depth: where nobody wanted points, that is looked for only now."""
        seen, subscriptions = self.seen, self._subscriptions
        if seen is None or subscriptions is None or seen.embedded.frame.depth_m is not None:
            return seen
        frame = seen.embedded.frame
        depth = subscriptions.depth_at(frame.stamp_ns)
        if depth is not None:
            with suppress(ValueError):  # that it cannot be used is told as soon as someone wants points
                frame = with_depth(frame, depth)
        return replace(seen, embedded=replace(seen.embedded, frame=frame))

    def shot(self, image: RawImage) -> PendingFrame | None:
        """An image as it came -> what is to be processed, while open and subscribed; None where it is too old.

        Waits a little for depth and camera_info that may be on their way. Raises ValueError like ``assemble``.
        """
        assert self._publishers is not None and self._subscriptions is not None
        if self._is_stale(image.stamp_ns):
            return None
        start_s = time.perf_counter()
        want = self._publishers.wanted()
        camera_info = self._subscriptions.camera_info_of(image)
        depth = self._subscriptions.depth_of(image) if want & Outputs.ANY_POINTS else None
        matched_s = time.perf_counter()
        frame, problems = assemble(image.message(), depth, camera_info)
        for topic, problem in problems.items():
            self.statistics.problem(topic.of(self.name).name, problem)
        if want & Outputs.ANY_POINTS and camera_info is not None:
            self._check_lens(camera_info)
        stage_ms = {"wait": (matched_s - start_s) * 1e3, "read": (time.perf_counter() - matched_s) * 1e3}
        header = make_header(frame.stamp_ns, frame.frame_id)
        return PendingFrame(frame, header, camera_info, want, image.arrived_s, stage_ms)

    def publish(self, shot: PendingFrame, products: FrameResult) -> None:
        """Send what was made of a shot, while open."""
        assert self._publishers is not None
        start_s = time.perf_counter()
        self._publishers.publish(products, shot.header, shot.camera_info)
        stage_ms = {**shot.stage_ms, **products.stage_ms, "publish": (time.perf_counter() - start_s) * 1e3}
        now_s, age_s = time.monotonic(), self._age_s(shot.frame.stamp_ns)
        self.statistics.processed(now_s, now_s - shot.arrived_s, age_s, stage_ms)

    def failed(self, error: Exception) -> None:
        """Say that an image could not be processed, and why."""
        reason = f"{type(error).__name__}: {error}"
        self.statistics.dropped("could not be processed")
        self.statistics.problem("frame", reason, error=True)
        of_whom = f" of {self.name}" if self.name else ""
        text = f"a frame{of_whom} could not be processed: {reason}"
        self._node.get_logger().error(text, throttle_duration_sec=5.0)

    def report(self, of_node: Mapping[str, str], idle: str) -> Report:
        """How the camera is doing; of_node: values to tell beside its own. idle: what to say while unsubscribed."""
        problems, subscriptions, publishers = self.statistics.problems(), self._subscriptions, self._publishers
        heard = publishers.subscribed() if publishers is not None else []
        fine = f"{self.statistics.rate_hz():.1f} Hz{'' if heard else ', nobody subscribes to what comes of it'}"
        if subscriptions is None:
            fine = idle
        elif not self.statistics.receiving():
            problems.insert(0, (1, subscriptions.advice()))
        elif shortfall := self.statistics.shortfall(self._config().max_rate_hz):
            problems.append((1, shortfall))
        values = {**of_node, "subscribed": ", ".join(heard) or "nothing", **self.statistics.values()}
        return Report(self.name or "segmentation", values, problems, fine)

    def _check_lens(self, camera_info: CameraInfo) -> None:
        """Say what is assumed of a lens with distortion, once."""
        if self._knows_the_lens or not is_distorted(camera_info):
            return
        self._knows_the_lens = True
        text = (
            f"the lens has distortion ({camera_info.distortion_model}), and points are made as of a rectified image, "
            "with P of the camera_info; if the image is not rectified, let image_proc do it and take its image_rect, "
            "and depth that is registered to it"
        )
        name = INFO.of(self.name).name
        self.statistics.problem(name, text, last_s=60.0)
        self._node.get_logger().warning(f"{name}: {text}")

    def _is_stale(self, stamp_ns: int) -> bool:
        age_s, limit_s = self._age_s(stamp_ns), self._config().max_frame_age_s
        stale = 0 < limit_s < age_s
        if stale:
            self.statistics.dropped("older than max_frame_age_s")
        if stale or abs(age_s) > _IMPLAUSIBLE_AGE_S:
            clock = "simulated" if self._node.get_parameter("use_sim_time").value else "system"
            advice = "set use_sim_time" if clock == "system" else "is /clock published, and needed?"
            off = f"{abs(age_s):.1f} s {'behind' if age_s > 0 else 'ahead of'}"
            text = f"stamps are {off} the {clock} clock; for a recording or a simulation: {advice}"
            self.statistics.problem("stamps", text)
        return stale

    def _age_s(self, stamp_ns: int) -> float:
        return (self._node.get_clock().now().nanoseconds - stamp_ns) / 1e9
