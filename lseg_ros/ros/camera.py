"""One camera of the node: subscriptions, publishers, last frame and statistics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from lseg_ros.assembly import assemble, with_depth
from lseg_ros.cdr import read_frame_id
from lseg_ros.errors import describe_error
from lseg_ros.messages import camera_matrix, is_distorted
from lseg_ros.pipeline import EncodedFrame, FrameResult, Outputs
from lseg_ros.quoting import quote
from lseg_ros.ros.conversions import make_header
from lseg_ros.ros.diagnostics import Report, Statistics
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.lidar import Lidar
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.publishers import Publishers
from lseg_ros.ros.subscriptions import CameraSubscriptions, RawImage
from lseg_ros.ros.topics import CLOUD, DEPTH, INFO, image_topic
from lseg_ros.ros.transforms import TransformListener
from lseg_ros.structures import Cloud, Frame
from lseg_ros.vocabulary import Label

__all__ = ["Camera", "LastFrame", "PendingFrame"]

_IMPLAUSIBLE_AGE_S = 10.0
_INPUT_TOPICS = {"depth": DEPTH, "camera_info": INFO}


@dataclass(frozen=True, eq=False)
class PendingFrame:
    """A frame that is ready for the network.

    Attributes:
        frame: The image, with depth and intrinsics if they are needed and available.
        header: Header of the image.
        camera_info: CameraInfo of the image, or None if it is not known.
        outputs: The outputs with subscribers.
        arrived_s: Time of arrival of the image in monotonic seconds.
        stage_ms: Milliseconds spent on waiting for depth and camera_info, and on reading.
    """

    frame: Frame
    header: Header
    camera_info: CameraInfo | None
    outputs: Outputs
    arrived_s: float
    stage_ms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class LastFrame:
    """The last published frame.

    Attributes:
        header: Header of the image.
        encoded: The frame with its pixel embeddings.
    """

    header: Header
    encoded: EncodedFrame


class Camera:
    """One camera of the node.

    It is open while the node is configured, and subscribed while the node is active. The caller holds a lock around
    ``open``, ``close``, ``set_labels``, ``destroy_retired``, ``publish`` and ``report``.

    Attributes:
        name: Name of the camera, "" for the only one. Its topics then have no prefix.
        statistics: Counts and times. They are kept for the life of the node.
        last_frame: The last published frame, or None. Any thread may read it.
    """

    def __init__(self, node: Node, name: str, labels: LabelManager, lidar: Lidar | None = None) -> None:
        """Create a closed camera.

        Args:
            node: The node that publishes and subscribes.
            name: Name of the camera, "" for the only one.
            labels: Holds the current settings.
            lidar: The lidar of the node, or None if ``points_source`` does not use one.
        """
        self.name = name
        self.statistics = Statistics()
        self.last_frame: LastFrame | None = None
        self._node = node
        self._labels = labels
        self._lidar = lidar
        self._image_topic = image_topic(name, labels.state.node.image_transport)
        self._matrix_reported = False
        self._publishers: Publishers | None = None  # while open
        self._subscriptions: CameraSubscriptions | None = None  # while subscribed

    def open(self) -> None:
        """Create the publishers."""

        def on_mismatch(text: str) -> None:
            self.statistics.problem("QoS", text, last_s=60.0)

        self._publishers = Publishers(self._node, self.name, on_mismatch)

    def set_labels(self, labels: Iterable[Label]) -> None:
        """Provide one cloud topic for each of these labels.

        Does nothing while the camera is closed.
        """
        if self._publishers is not None:
            self._publishers.set_labels(labels)

    def destroy_retired(self) -> None:
        """Destroy the cloud topics of labels that were removed a while ago."""
        if self._publishers is not None:
            self._publishers.destroy_retired()

    def close(self) -> None:
        """Destroy the publishers and forget the last frame."""
        if self._publishers is not None:
            self._publishers.destroy()
        self._publishers = self.last_frame = None

    def subscribe(self, mailbox: Mailbox[RawImage], transforms: TransformListener | None = None) -> None:
        """Subscribe to the camera.

        Args:
            mailbox: Receives the newest image under the camera's name.
            transforms: Poses of coordinate frames, if a feature uses tf.
        """
        self._subscriptions = CameraSubscriptions(
            self._node, self.name, mailbox, self.statistics, self._labels, transforms
        )

    def unsubscribe(self) -> None:
        """Unsubscribe. The last frame keeps its depth."""
        self.last_frame = self.last_frame_with_depth()
        if self._subscriptions is not None:
            self._subscriptions.destroy()
        self._subscriptions = None

    def last_frame_with_depth(self) -> LastFrame | None:
        """Return the last published frame, with its depth and its lidar points if available.

        While no output needs points, they are not read with the frame. This method looks them up instead.
        """
        last, subscriptions = self.last_frame, self._subscriptions
        if last is None or subscriptions is None or last.encoded.frame.depth_m is not None:
            return last
        frame = last.encoded.frame
        if self._lidar is not None and frame.cloud is None:
            with suppress(ValueError):  # reported as soon as a subscriber needs points
                cloud = self._lidar.match(self.name, frame.frame_id, frame.stamp_ns, time.monotonic())
                frame = replace(frame, cloud=cloud)
        depth = subscriptions.find_depth(frame.stamp_ns)
        if depth is not None:
            with suppress(ValueError):  # reported as soon as a subscriber needs points
                camera = subscriptions.find_depth_camera(depth, frame.frame_id, frame.stamp_ns)
                frame = with_depth(frame, depth, camera)
        return replace(last, encoded=replace(last.encoded, frame=frame))

    def prepare(self, image: RawImage) -> PendingFrame | None:
        """Deserialize an image and add what its outputs need, while open and subscribed.

        Waits briefly for depth and camera_info if they may still arrive.

        Returns:
            The frame, or None if the image is too old.

        Raises:
            ValueError: If the image cannot be read.
        """
        assert self._publishers is not None and self._subscriptions is not None
        if self._is_stale(image.stamp_ns):
            return None
        start_s = time.perf_counter()
        outputs = self._publishers.requested_outputs()
        if self._lidar is not None and self._lidar.is_requested():
            outputs |= Outputs.LIDAR_CLOUD
        camera_info = self._subscriptions.match_camera_info(image)
        has_map = self._labels.state.node.map
        wants_depth = bool(outputs & Outputs.ANY_POINTS) or has_map
        wants_cloud = bool(outputs & Outputs.ANY_CLOUD) or has_map
        depth = self._subscriptions.match_depth(image) if wants_depth else None
        cloud = self._match_cloud(self._lidar, image) if self._lidar and wants_cloud else None
        matched_s = time.perf_counter()
        depth_camera = None
        if depth is not None:
            try:
                frame_id = read_frame_id(image.data).decode(errors="replace")
                depth_camera = self._subscriptions.find_depth_camera(depth, frame_id, image.stamp_ns)
            except ValueError as error:
                self.statistics.problem(DEPTH.for_camera(self.name).name, str(error))
                depth = None
        frame, problems = assemble(image.message(), depth, camera_info, depth_camera)
        for name, problem in problems.items():
            self.statistics.problem(_INPUT_TOPICS[name].for_camera(self.name).name, problem)
        frame = replace(frame, cloud=cloud)
        if (wants_depth or wants_cloud) and camera_info is not None:
            self._report_matrix(camera_info)
        stage_ms = {"wait": (matched_s - start_s) * 1e3, "read": (time.perf_counter() - matched_s) * 1e3}
        header = make_header(frame.stamp_ns, frame.frame_id)
        return PendingFrame(frame, header, camera_info, outputs, image.arrived_s, stage_ms)

    def publish(self, pending: PendingFrame, result: FrameResult) -> None:
        """Publish the result of a frame, while open."""
        assert self._publishers is not None
        start_s = time.perf_counter()
        self._publishers.publish(result, pending.header, pending.camera_info)
        if self._lidar is not None and result.labeled_cloud is not None:
            self._lidar.publish(self.name, result.labeled_cloud)
        stage_ms = {**pending.stage_ms, **result.stage_ms, "publish": (time.perf_counter() - start_s) * 1e3}
        now_s, age_s = time.monotonic(), self._age_s(pending.frame.stamp_ns)
        self.statistics.processed(now_s, now_s - pending.arrived_s, age_s, stage_ms)

    def report_failure(self, error: Exception) -> None:
        """Count and log that an image could not be processed."""
        text = f"an image could not be processed: {describe_error(error)}"
        self.statistics.dropped("could not be processed")
        self.statistics.problem(self._image_topic.name, text, error=True)
        self._node.get_logger().error(f"{self._image_topic.name}: {text}", throttle_duration_sec=5.0)

    def report(self, node_values: Mapping[str, str], idle: str, node_problems: Sequence[str] = ()) -> Report:
        """Summarize the state of the camera for diagnostics.

        Args:
            node_values: Values of the node, listed before those of the camera.
            idle: Message while the camera is not subscribed.
            node_problems: Problems of the node, which are warnings.
        """
        problems, subscriptions, publishers = self.statistics.problems(), self._subscriptions, self._publishers
        subscribed = publishers.subscribed_topics() if publishers is not None else []
        message = f"{self.statistics.rate_hz():.1f} Hz{'' if subscribed else ', no subscribers on any output'}"
        if subscriptions is None:
            message = idle
        elif not self.statistics.receiving():
            problems.insert(0, (1, subscriptions.diagnose_silence()))
        elif shortfall := self.statistics.shortfall(self._labels.state.node.max_rate_hz):
            problems.append((1, shortfall))
        problems += [(1, text) for text in node_problems]
        values = {**node_values, "subscribed": ", ".join(subscribed) or "nothing", **self.statistics.values()}
        return Report(self.name or "segmentation", values, problems, message)

    def _match_cloud(self, lidar: Lidar, image: RawImage) -> Cloud | None:
        try:
            frame_id = read_frame_id(image.data).decode(errors="replace")
            deadline_s = image.arrived_s + self._labels.state.node.sync_wait_s
            return lidar.match(self.name, frame_id, image.stamp_ns, deadline_s)
        except ValueError as error:
            self.statistics.unmatched(CLOUD.name)
            self.statistics.problem(CLOUD.name, f"not labeled: {error}")
            return None

    def _report_matrix(self, camera_info: CameraInfo) -> None:
        """Say once which matrix of camera_info is used, unless it is K of an ideal lens."""
        matrix, distorted = camera_matrix(camera_info).upper(), is_distorted(camera_info)
        if self._matrix_reported or not matrix or (matrix == "K" and not distorted):
            return
        self._matrix_reported = True
        name, unused = INFO.for_camera(self.name).name, "P" if matrix == "K" else "K"
        missing = f" ({unused} is 0)" if getattr(camera_info, unused.lower())[0] == 0 else ""
        text = f"points are computed with {matrix} of camera_info{missing}"
        if not distorted:
            self._node.get_logger().info(f"{name}: {text}")
            return
        text = (
            f"the lens has distortion ({quote(camera_info.distortion_model)}); {text}, which assumes a rectified "
            "image. If it is not rectified, subscribe to image_rect of image_proc and to depth that is registered to it"
        )
        self.statistics.problem(name, text, last_s=60.0)
        self._node.get_logger().warning(f"{name}: {text}")

    def _is_stale(self, stamp_ns: int) -> bool:
        age_s, limit_s = self._age_s(stamp_ns), self._labels.state.node.max_frame_age_s
        stale = 0 < limit_s < age_s
        if stale:
            self.statistics.dropped("older than max_frame_age_s")
        if stale or abs(age_s) > _IMPLAUSIBLE_AGE_S:
            simulated = self._node.get_parameter("use_sim_time").value
            clock = "simulated" if simulated else "system"
            advice = (
                "check that /clock is published, or unset use_sim_time"
                if simulated
                else "set use_sim_time if they come from a recording or a simulation"
            )
            offset = f"{abs(age_s):.1f} s {'behind' if age_s > 0 else 'ahead of'}"
            text = f"stamps are {offset} the {clock} clock: {advice}"
            self.statistics.problem(self._image_topic.name, text)
        return stale

    def _age_s(self, stamp_ns: int) -> float:
        return (self._node.get_clock().now().nanoseconds - stamp_ns) / 1e9
