"""What comes from the camera: raw bytes, of which only those that are processed are ever read."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lseg_ros.cdr import image_from_cdr
from lseg_ros.ros.companion import StampedCache
from lseg_ros.ros.diagnostics import Statistics
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.topics import DEPTH, IMAGE, IMAGE_COMPRESSED, INFO, Topic
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = ["CameraSubscriptions", "RawImage", "read_stamp_ns"]

_LARGEST_SLOP_S = 1.0  # that sync_slop_s can be


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image message as it came: CDR bytes, their stamp, and when it came (monotonic seconds)."""

    data: bytes
    type: type
    stamp_ns: int
    arrived_s: float

    def message(self) -> Any:
        """Its fields; pixels that are not compressed stay where they are."""
        return image_from_cdr(self.data) if self.type is Image else deserialize_message(self.data, self.type)


class CameraSubscriptions:
    """rgb, depth and camera_info of a camera. Callbacks only store: the newest image in the mailbox, the rest beside.

    camera: its name, "" where it is the only one. config: called for the settings that hold now.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        mailbox: Mailbox[RawImage],
        statistics: Statistics,
        config: Callable[[], NodeConfig],
    ) -> None:
        self._node = node
        self._camera = camera
        self._mailbox = mailbox
        self._statistics = statistics
        self._config = config
        self._next_s = 0.0  # when max_rate_hz lets the next image in
        self._depth: StampedCache[bytes] = StampedCache()
        self._info: StampedCache[bytes] = StampedCache()
        compressed = config().image_transport == "compressed"
        self._image_topic = (IMAGE_COMPRESSED if compressed else IMAGE).of(camera)
        self._depth_topic, self._info_topic = DEPTH.of(camera), INFO.of(camera)
        self._image_type = CompressedImage if compressed else Image
        self._group = DetachedCallbackGroup()
        # In this order they are looked at by a thread that is behind: what belongs to an image comes before it.
        self._subscriptions = [
            self._subscribe(CameraInfo, self._info_topic, lambda data: self._info.add(read_stamp_ns(data), data), 5),
            self._subscribe(Image, self._depth_topic, lambda data: self._depth.add(read_stamp_ns(data), data), 5),
            self._subscribe(self._image_type, self._image_topic, self._on_image, 2),
        ]
        self._reception = SubscriptionWaitSet(node, self._subscriptions)

    def depth_of(self, image: RawImage) -> Any:
        """The depth Image of an image, waiting a little where it may still be on its way; None without one."""
        data = self._match(self._depth, self._depth_topic, image)
        return None if data is None else image_from_cdr(data)

    def depth_at(self, stamp_ns: int) -> Any:
        """The depth of a moment that has passed, if it is still here; it is not waited for, nor missed."""
        item = self._depth.match(stamp_ns, round(self._config().sync_slop_s * 1e9)).item
        return None if item is None else image_from_cdr(item)

    def camera_info_of(self, image: RawImage) -> CameraInfo | None:
        """Like ``depth_of``."""
        data = self._match(self._info, self._info_topic, image)
        return None if data is None else deserialize_message(data, CameraInfo)

    def destroy(self) -> None:
        self._reception.close()
        for each in self._subscriptions:
            self._node.destroy_subscription(each)

    def advice(self) -> str:
        """What is wrong where no image comes, "" where the topic has a publisher."""
        name = self._node.resolve_topic_name(self._image_topic.name)
        expected = self._image_topic.type.replace("/", "/msg/")
        others = {each.topic_type for each in self._node.get_publishers_info_by_topic(name)}
        if not others:
            return f"nothing publishes {name}: remap {self._image_topic.name} to the camera's topic"
        if expected not in others:
            found = ", ".join(sorted(others))
            return f"{name} carries {found}, expected {expected}: is image_transport as it should be?"
        return f"no image came on {name}, though it has a publisher: does it pause, or is its QoS another?"

    def _subscribe(
        self, message_type: type, topic: Topic, callback: Callable[[bytes], None], depth: int
    ) -> Subscription:
        def mismatch(_: Any) -> None:
            text = f"{topic.name}: a publisher offers less than qos_overrides ask for, and is not heard"
            self._statistics.problem("QoS", text, last_s=60.0)

        def create(**events: Any) -> Subscription:
            return self._node.create_subscription(
                message_type,
                topic.name,
                callback,
                QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
                callback_group=self._group,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                raw=True,
                **events,
            )

        try:
            return create(event_callbacks=SubscriptionEventCallbacks(incompatible_qos=mismatch))
        except UnsupportedEventTypeError:  # a middleware that cannot tell, or knows no mismatch
            return create()

    def _on_image(self, data: bytes) -> None:
        now_s = time.monotonic()
        self._statistics.received(now_s)
        image = RawImage(data, self._image_type, read_stamp_ns(data), now_s)
        rate_hz = self._config().max_rate_hz
        if rate_hz > 0 and now_s < self._next_s:
            # One that waits for the worker must not grow old meanwhile: its depth would be forgotten.
            if self._mailbox.replace(self._camera, image):
                self._statistics.superseded()
            else:
                self._statistics.dropped("over max_rate_hz")
            return
        if rate_hz > 0:
            # From when it was due, not from now: else 10 Hz of 30 would often become every fourth and not every third.
            self._next_s = max(self._next_s + 1 / rate_hz, now_s)
        if self._mailbox.put(self._camera, image):
            self._statistics.superseded()

    def _match(self, companion: StampedCache[bytes], topic: Topic, image: RawImage) -> bytes | None:
        slop_s = self._config().sync_slop_s
        name = self._node.resolve_topic_name(topic.name)
        published = self._node.count_publishers(name) > 0
        # Since the image came, and not from now: cameras wait at the same time and not one after the other.
        patience_s = image.arrived_s + slop_s - time.monotonic() if published else 0.0
        match = companion.match(image.stamp_ns, round(slop_s * 1e9), patience_s)
        if match.item is not None:
            return match.item
        self._statistics.missed(topic.name)
        off_s = None if match.offset_ns is None else match.offset_ns / 1e9
        if off_s is not None and abs(off_s) <= _LARGEST_SLOP_S:
            problem = f"the nearest message is {off_s:+.3f} s from the image's stamp: raise sync_slop_s ({slop_s} s)?"
        elif not published:
            problem = f"nothing publishes {name}: remap {topic.name} to the camera's topic"
        elif off_s is None:
            problem = f"no message came on {name}, though it has a publisher"
        else:
            problem = f"the nearest message is {off_s:+.3f} s from the image's stamp: did it stop, or do clocks differ?"
        self._statistics.problem(topic.name, problem)
        return None


def read_stamp_ns(data: bytes) -> int:
    """The header stamp in nanoseconds of a serialized message that begins with a std_msgs/Header.

    In CDR that is behind four bytes, of which the second says by its last bit that the rest is little endian.
    """
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
