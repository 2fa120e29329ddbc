"""Raw camera subscriptions.

Messages are kept as CDR bytes and deserialized only when a frame is processed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lseg_ros.assembly import DepthCamera
from lseg_ros.cdr import image_from_cdr, read_frame_id, read_stamp_ns
from lseg_ros.matching import CameraInfoCache, Match, StampedCache
from lseg_ros.messages import intrinsics_from_camera_info
from lseg_ros.quoting import escape, quote
from lseg_ros.ros.diagnostics import Statistics
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.topics import (
    DEPTH,
    DEPTH_COMPRESSED,
    DEPTH_INFO,
    IMAGE,
    INFO,
    LATCHED_QOS,
    Topic,
    image_topic,
    resolve_transport,
)
from lseg_ros.ros.transforms import TF_MISSING, TransformListener
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet
from lseg_ros.transforms import parse_pose

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = ["CameraSubscriptions", "RawImage", "explain_silence"]

_MAX_SLOP_S = 1.0  # maximum of the parameter sync_slop_s
_MAX_PERIOD_S = 3600.0  # longest pause that max_rate_hz can cause


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image message as it arrived.

    Attributes:
        data: The message in CDR.
        type: ``Image`` or ``CompressedImage``.
        stamp_ns: Header stamp in nanoseconds.
        arrived_s: Time of arrival in monotonic seconds.
    """

    data: bytes
    type: type
    stamp_ns: int
    arrived_s: float

    def message(self) -> Any:
        """Deserialize the message. The pixels of an ``Image`` are not copied.

        Raises:
            ValueError: If the bytes are not a message of this type.
        """
        return _deserialize(self.data, self.type)


class CameraSubscriptions:
    """Subscriptions to the image, depth and camera_info of one camera.

    Callbacks only store messages: the newest image in the mailbox, the others in caches.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        mailbox: Mailbox[RawImage],
        statistics: Statistics,
        labels: LabelManager,
        transforms: TransformListener | None = None,
    ) -> None:
        """Subscribe.

        Args:
            node: The node that subscribes.
            camera: Name of the camera, "" for the only one.
            mailbox: Receives the newest image under the camera's name.
            statistics: Counts received and dropped images and missing messages.
            labels: Holds the current settings.
            transforms: Poses of coordinate frames, if depth is registered with tf.
        """
        config = labels.state.node
        self._node = node
        self._camera = camera
        self._transforms = transforms
        self._mailbox = mailbox
        self._statistics = statistics
        self._labels = labels
        self._due_s = -math.inf  # when the last accepted image was due
        self._depth: StampedCache[bytes] = StampedCache()
        self._infos: CameraInfoCache[bytes] = CameraInfoCache()
        self._last_miss: tuple[int, float] | None = None  # stamp and arrival of the last image without depth
        compressed = labels.state.node.image_transport == "compressed"
        self._image_topic = image_topic(camera, labels.state.node.image_transport)
        self._image_name = self._image_topic.name
        if compressed:
            self._image_name = resolve_transport(node, IMAGE.for_camera(camera).name, "compressed")
        self._depth_topic, self._info_topic = DEPTH.for_camera(camera), INFO.for_camera(camera)
        self._image_type = CompressedImage if compressed else Image
        self._depth_type, depth_name = Image, self._depth_topic.name
        if config.depth_transport == "compressedDepth":
            depth_name = resolve_transport(node, depth_name, "compressedDepth")
            self._depth_topic, self._depth_type = DEPTH_COMPRESSED.for_camera(camera), CompressedImage
        self._depth_name = depth_name
        self._depth_info_topic = DEPTH_INFO.for_camera(camera)
        self._depth_info: bytes | None = None  # the newest
        self._depth_pose = None
        if config.depth_extrinsics:
            pose = dict(zip(config.cameras or ("",), config.depth_extrinsics))[camera]
            self._depth_pose = parse_pose(pose, "depth_extrinsics")
        self._uses_depth = labels.state.node.points_source != "cloud"
        self._group = DetachedCallbackGroup()
        # The wait set takes messages in this order, so camera_info and depth are stored before their image.
        self._subscriptions = [
            self._subscribe(CameraInfo, self._info_topic.name, self._on_info, 5),
            *self._subscribe_to_depth(),
            self._subscribe(self._image_type, self._image_name, self._on_image, 2),
        ]
        self._has_latched_info = False
        self._wait_set = SubscriptionWaitSet(node, self._subscriptions)

    def match_depth(self, image: RawImage) -> Any:
        """Find the depth Image of an image, and wait for it if it may still arrive.

        Returns:
            The message, or None if no depth matches or ``points_source`` is cloud.
        """
        return self._read(self._match_depth(image), self._depth_type, self._depth_topic) if self._uses_depth else None

    def find_depth(self, stamp_ns: int) -> Any:
        """Find the depth Image of a past stamp without waiting or counting a miss.

        Returns:
            The message, or None if no depth matches.
        """
        item = self._depth.match(stamp_ns, round(self._labels.state.node.sync_slop_s * 1e9)).item
        return self._read(item, self._depth_type, self._depth_topic)

    def find_depth_camera(self, depth: Any, frame_id: str, stamp_ns: int) -> DepthCamera | None:
        """Find the camera of depth that is not registered to the image.

        Args:
            depth: The depth message.
            frame_id: Optical frame of the image.
            stamp_ns: Stamp of the image in nanoseconds.

        Returns:
            The camera, or None unless ``register_depth`` is set.

        Raises:
            ValueError: The camera or its pose is not known. The message says why.
        """
        config = self._labels.state.node
        if not config.register_depth:
            return None
        info = self._read(self._depth_info, CameraInfo, self._depth_info_topic)
        if info is None:
            raise ValueError(
                f"cannot be registered: {self._explain_silence(self._depth_info_topic.name, self._depth_info_topic)}"
            )
        intrinsics = intrinsics_from_camera_info(info)
        if intrinsics is None:
            raise ValueError(f"cannot be registered: K[0] = 0 and P[0] = 0 in {self._depth_info_topic.name}")
        if self._depth_pose is not None:
            return DepthCamera(intrinsics, self._depth_pose)
        if self._transforms is None or not self._transforms.available:
            raise ValueError(f"cannot be registered: {TF_MISSING}: set depth_extrinsics")
        pose = self._transforms.buffer.lookup(frame_id, depth.header.frame_id, stamp_ns, config.sync_wait_s)
        return DepthCamera(intrinsics, pose)

    def match_camera_info(self, image: RawImage) -> CameraInfo | None:
        """Find the CameraInfo of an image, and wait for it if it may still arrive.

        Returns:
            The message, or None if no CameraInfo of this frame_id arrived.

        Raises:
            ValueError: If the image has no readable header.
        """
        slop_ns = round(self._labels.state.node.sync_slop_s * 1e9)
        patience_s = self._patience_s(image, self._info_topic.name)
        data = self._infos.match(read_frame_id(image.data), image.stamp_ns, slop_ns, patience_s)
        if data is None:
            self._statistics.unmatched(self._info_topic.name)
            self._statistics.problem(self._info_topic.name, self._explain_missing_info(image))
            self._subscribe_to_latched_info()
        return self._read(data, CameraInfo, self._info_topic)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._wait_set.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def diagnose_silence(self) -> str:
        """Explain why no image arrives and what to check."""
        return self._explain_silence(self._image_name, self._image_topic, "for 3 s")

    def _subscribe(self, message_type: type, name: str, callback: Callable[[bytes], None], depth: int) -> Subscription:
        def on_incompatible_qos(_: Any) -> None:
            text = f"{name}: a publisher does not offer the QoS that qos_overrides requests"
            self._statistics.problem("QoS", text, last_s=60.0)

        def create(**events: Any) -> Subscription:
            return self._node.create_subscription(
                message_type,
                name,
                callback,
                QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
                callback_group=self._group,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                raw=True,
                **events,
            )

        try:
            return create(event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_incompatible_qos))
        except UnsupportedEventTypeError:  # some middlewares do not report incompatible QoS
            return create()

    def _subscribe_to_depth(self) -> list[Subscription]:
        """Subscribe to depth and its camera_info, as far as they are used."""
        if not self._uses_depth:
            return []
        subscriptions = [self._subscribe(self._depth_type, self._depth_name, self._on_depth, 5)]
        if self._labels.state.node.register_depth:
            subscriptions.append(self._subscribe(CameraInfo, self._depth_info_topic.name, self._on_depth_info, 5))
        return subscriptions

    def _subscribe_to_latched_info(self) -> None:
        """Ask for the CameraInfo that was latched before this node subscribed.

        The first subscription does not get it, and it stays, because only it matches publishers that are volatile.
        """
        name = self._node.resolve_topic_name(self._info_topic.name)
        durabilities = [info.qos_profile.durability for info in self._node.get_publishers_info_by_topic(name)]
        if DurabilityPolicy.TRANSIENT_LOCAL not in durabilities or self._has_latched_info:
            return
        self._wait_set.close()
        latched = self._node.create_subscription(
            CameraInfo,
            self._info_topic.name,
            self._on_info,
            LATCHED_QOS,
            callback_group=self._group,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),  # else it warns of volatile ones
            raw=True,
        )
        self._has_latched_info = True
        self._subscriptions.insert(0, latched)
        self._wait_set = SubscriptionWaitSet(self._node, self._subscriptions)

    def _on_info(self, data: bytes) -> None:
        self._infos.add(read_frame_id(data), read_stamp_ns(data), data)

    def _on_depth_info(self, data: bytes) -> None:
        self._depth_info = data

    def _on_depth(self, data: bytes) -> None:
        self._depth.add(read_stamp_ns(data), data)

    def _on_image(self, data: bytes) -> None:
        now_s = time.monotonic()
        self._statistics.received(now_s)
        image = RawImage(data, self._image_type, read_stamp_ns(data), now_s)
        rate_hz = self._labels.state.node.max_rate_hz
        period_s = min(1 / rate_hz, _MAX_PERIOD_S) if rate_hz > 0 else 0.0
        if now_s < self._due_s + period_s:
            # Replace an image that still waits for the worker: if it became too old, its depth would leave the cache.
            if self._mailbox.replace(self._camera, image):
                self._statistics.superseded()
            else:
                self._statistics.dropped("over max_rate_hz")
            return
        # Count from the due time and not from now. Otherwise 10 Hz of 30 Hz often takes every fourth image instead of
        # every third. A change of the rate applies to the next image.
        self._due_s = max(self._due_s + period_s, now_s - period_s)
        if self._mailbox.put(self._camera, image):
            self._statistics.superseded()

    def _read(self, data: bytes | None, message_type: type, topic: Topic) -> Any:
        """Deserialize a message. One that cannot be read is reported and treated as missing."""
        if data is None:
            return None
        try:
            return _deserialize(data, message_type)
        except ValueError as error:
            self._statistics.problem(topic.name, str(error))
            return None

    def _patience_s(self, image: RawImage, topic: str) -> float:
        """Return how long to wait for a message of an image, 0 if nothing publishes it."""
        if not self._node.count_publishers(self._node.resolve_topic_name(topic)):
            return 0.0
        # Counted from the arrival of the image and not from now, so that several cameras wait at the same time.
        return image.arrived_s + self._labels.state.node.sync_wait_s - time.monotonic()

    def _match_depth(self, image: RawImage) -> bytes | None:
        slop_ns = round(self._labels.state.node.sync_slop_s * 1e9)
        match = self._depth.match(image.stamp_ns, slop_ns, self._patience_s(image, self._depth_name))
        if match.item is None:
            self._statistics.unmatched(self._depth_topic.name)
            self._statistics.problem(self._depth_topic.name, self._explain_missing_depth(match, slop_ns))
            self._last_miss = image.stamp_ns, image.arrived_s
        return match.item

    def _explain_missing_depth(self, match: Match[bytes], slop_ns: int) -> str:
        config, last = self._labels.state.node, self._last_miss
        if match.offset_ns is None or match.arrived_s is None:
            return self._explain_silence(self._depth_name, self._depth_topic)
        if last is not None:
            stamp_ns, image_arrived_s = last
            late = self._depth.match(stamp_ns, slop_ns)
            if late.item is not None and late.arrived_s is not None:
                return (
                    f"the message of the last image arrived {late.arrived_s - image_arrived_s:.3f} s after it: "
                    f"raise sync_wait_s ({config.sync_wait_s} s)"
                )
        offset_s, ago_s = match.offset_ns / 1e9, time.monotonic() - match.arrived_s
        observed = f"the nearest message is {offset_s:+.3f} s from the image's stamp and arrived {ago_s:.1f} s ago"
        if abs(offset_s) <= _MAX_SLOP_S:
            return f"{observed}: raise sync_slop_s ({config.sync_slop_s} s)"
        return f"{observed}: check that the driver is still streaming and that both topics use the same clock"

    def _explain_missing_info(self, image: RawImage) -> str:
        others = [frame_id.decode(errors="replace") for frame_id in self._infos.frame_ids()]
        if not others:
            return self._explain_silence(self._info_topic.name, self._info_topic)
        expected = read_frame_id(image.data).decode(errors="replace")
        return (
            f"no clouds: messages with frame_id {', '.join(map(quote, others))} arrived, "
            f"expected the image's frame_id {quote(expected)}: check the driver"
        )

    def _explain_silence(self, name: str, topic: Topic, since: str = "yet") -> str:
        remedy = "check image_transport" if topic == self._image_topic else f"remap {topic.name}"
        return explain_silence(self._node, name, topic, f"remap {topic.name} to the camera's topic", remedy, since)


def explain_silence(
    node: Node, name: str, topic: Topic, if_unpublished: str, if_other_type: str = "", since: str = "yet"
) -> str:
    """Explain why no message of a topic arrives: what publishes it, and what to check.

    Args:
        node: The node that subscribes.
        name: Name of the topic, before remapping.
        topic: The topic.
        if_unpublished: What to do if nothing publishes it.
        if_other_type: What to do if it has another type. "" for the same.
        since: Since when nothing arrives.
    """
    name, expected = node.resolve_topic_name(name), topic.type.replace("/", "/msg/")
    publishers = node.get_publishers_info_by_topic(name)
    types = sorted({publisher.topic_type for publisher in publishers})
    if not types:
        return f"nothing publishes {name}: {if_unpublished}"
    if expected not in types:
        return (
            f"{name} has type {escape(', '.join(types), 200)}, expected {expected}: {if_other_type or if_unpublished}"
        )
    reliability = ", ".join(sorted({publisher.qos_profile.reliability.name for publisher in publishers}))
    return (
        f"a publisher exists on {name} ({reliability.lower().replace('_', ' ')}) but nothing arrived {since}: "
        "check that the driver is streaming and that its QoS is compatible"
    )


def _deserialize(data: bytes, message_type: type) -> Any:
    """Deserialize a message. Raises ValueError if the bytes are not a message of this type."""
    if message_type is Image:
        return image_from_cdr(data)
    try:
        return deserialize_message(data, message_type)
    except Exception as error:  # rclpy raises RuntimeError, UnicodeDecodeError and others, depending on the fault
        name = message_type.__name__
        raise ValueError(
            f"expected a serialized sensor_msgs/{name}, got {len(data)} bytes ({escape(str(error), 200)})"
        ) from error
