"""Raw camera subscriptions.

Messages are kept as CDR bytes and deserialized only when a frame is processed.
"""

from __future__ import annotations

import math
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lseg_ros.cdr import image_from_cdr
from lseg_ros.ros.diagnostics import Statistics
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.topics import DEPTH, IMAGE, IMAGE_COMPRESSED, INFO, Topic
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = ["CameraSubscriptions", "Match", "RawImage", "StampedCache", "read_stamp_ns"]

T = TypeVar("T")

_MAX_SLOP_S = 1.0  # maximum of the parameter sync_slop_s
_MAX_ITEMS = 200  # of a cache, for drivers whose stamps stay within one second
_MAX_BYTES = 256 << 20  # of the messages in a cache
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


@dataclass(frozen=True)
class Match(Generic[T]):
    """Result of ``StampedCache.match``.

    Attributes:
        item: The matching item, or None if no item is close enough.
        offset_ns: Stamp of the nearest item minus the requested stamp, even if the item is not close enough. None if
            the cache is empty.
    """

    item: T | None
    offset_ns: int | None


class StampedCache(Generic[T]):
    """The most recent items of one topic, looked up by stamp.

    One thread adds items and another matches them. Items whose stamps differ from the newest item by more than
    ``span_ns`` are dropped, in both directions. If the clock jumps back (a bag restarts or a simulation is reset), the
    cache starts over instead of never matching again.

    Count and size are limited, because the stamps of a driver that leaves ``sec`` at 0 stay within one second. The
    oldest arrivals are dropped first.
    """

    def __init__(self, span_ns: int = 1_000_000_000) -> None:
        """Create an empty cache.

        Args:
            span_ns: Largest stamp difference to the newest item that is kept, in nanoseconds.

        Raises:
            ValueError: If ``span_ns`` is not positive.
        """
        if span_ns <= 0:
            raise ValueError(f"span_ns: expected a positive time in nanoseconds, got {span_ns}")
        self._span_ns = span_ns
        self._items: dict[int, T] = {}
        self._changed = threading.Condition()
        self._last_ns: int | None = None
        self._period_ns = 0

    def add(self, stamp_ns: int, item: T) -> None:
        """Store an item. It replaces an item with the same stamp."""
        with self._changed:
            if self._last_ns is not None:
                self._period_ns = max(stamp_ns - self._last_ns, 0)
            self._last_ns = stamp_ns
            self._items = {old: kept for old, kept in self._items.items() if abs(old - stamp_ns) <= self._span_ns}
            self._items.pop(stamp_ns, None)  # so that the order is that of arrival
            self._items[stamp_ns] = item
            self._drop_excess()
            self._changed.notify_all()

    def match(self, stamp_ns: int, slop_ns: int, patience_s: float = 0.0) -> Match[T]:
        """Find the item nearest to a stamp. Of two equally near items, the older one wins.

        Args:
            stamp_ns: Stamp to look for, in nanoseconds.
            slop_ns: Largest allowed difference between the two stamps, in nanoseconds.
            patience_s: How long to wait, in seconds, while a nearer item may still arrive.
        """
        deadline_s = time.monotonic() + patience_s
        with self._changed:
            match = self._nearest(stamp_ns, slop_ns)
            while not self._is_final(match) and (left_s := deadline_s - time.monotonic()) > 0:
                self._changed.wait(left_s)
                match = self._nearest(stamp_ns, slop_ns)
        return match

    def _drop_excess(self) -> None:
        sizes = [len(item) if isinstance(item, bytes) else 0 for item in self._items.values()]
        total, count = sum(sizes), len(sizes)
        for stamp_ns, size in zip(list(self._items), sizes):
            if count <= 1 or (count <= _MAX_ITEMS and total <= _MAX_BYTES):
                break
            del self._items[stamp_ns]
            total, count = total - size, count - 1

    def _nearest(self, stamp_ns: int, slop_ns: int) -> Match[T]:
        if not self._items:
            return Match(None, None)
        nearest_ns = min(self._items, key=lambda item_ns: (abs(item_ns - stamp_ns), item_ns))
        item = self._items[nearest_ns] if abs(nearest_ns - stamp_ns) <= slop_ns else None
        return Match(item, nearest_ns - stamp_ns)

    def _is_final(self, match: Match[T]) -> bool:
        """Return whether no nearer item can arrive.

        Assumes that stamps increase by about one period.
        """
        if match.offset_ns is None:
            return False
        return match.offset_ns >= 0 or (match.item is not None and -match.offset_ns <= self._period_ns // 2)

    def __len__(self) -> int:
        return len(self._items)


class CameraSubscriptions:
    """Subscriptions to the image, depth and camera_info of one camera.

    Callbacks only store messages: the newest image in the mailbox, the others in caches.
    """

    def __init__(
        self, node: Node, camera: str, mailbox: Mailbox[RawImage], statistics: Statistics, labels: LabelManager
    ) -> None:
        """Subscribe.

        Args:
            node: The node that subscribes.
            camera: Name of the camera, "" for the only one.
            mailbox: Receives the newest image under the camera's name.
            statistics: Counts received and dropped images and missing messages.
            labels: Holds the current settings.
        """
        self._node = node
        self._camera = camera
        self._mailbox = mailbox
        self._statistics = statistics
        self._labels = labels
        self._due_s = -math.inf  # when the last accepted image was due
        self._depth: StampedCache[bytes] = StampedCache()
        self._info: StampedCache[bytes] = StampedCache()
        compressed = labels.state.node.image_transport == "compressed"
        self._image_topic = (IMAGE_COMPRESSED if compressed else IMAGE).for_camera(camera)
        self._depth_topic, self._info_topic = DEPTH.for_camera(camera), INFO.for_camera(camera)
        self._image_type = CompressedImage if compressed else Image
        self._group = DetachedCallbackGroup()
        # The wait set takes messages in this order, so camera_info and depth are stored before their image.
        self._subscriptions = [
            self._subscribe(CameraInfo, self._info_topic, lambda data: self._info.add(read_stamp_ns(data), data), 5),
            self._subscribe(Image, self._depth_topic, lambda data: self._depth.add(read_stamp_ns(data), data), 5),
            self._subscribe(self._image_type, self._image_topic, self._on_image, 2),
        ]
        self._wait_set = SubscriptionWaitSet(node, self._subscriptions)

    def match_depth(self, image: RawImage) -> Any:
        """Find the depth Image of an image, and wait for it if it may still arrive.

        Returns:
            The message, or None if no depth matches.
        """
        return self._read(self._match(self._depth, self._depth_topic, image), Image, self._depth_topic)

    def find_depth(self, stamp_ns: int) -> Any:
        """Find the depth Image of a past stamp without waiting or counting a miss.

        Returns:
            The message, or None if no depth matches.
        """
        item = self._depth.match(stamp_ns, round(self._labels.state.node.sync_slop_s * 1e9)).item
        return self._read(item, Image, self._depth_topic)

    def match_camera_info(self, image: RawImage) -> CameraInfo | None:
        """Find the CameraInfo of an image, and wait for it if it may still arrive.

        Returns:
            The message, or None if no CameraInfo matches.
        """
        return self._read(self._match(self._info, self._info_topic, image), CameraInfo, self._info_topic)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._wait_set.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def diagnose_silence(self) -> str:
        """Explain why no image arrives and what to check."""
        name = self._node.resolve_topic_name(self._image_topic.name)
        expected = self._image_topic.type.replace("/", "/msg/")
        found = {publisher.topic_type for publisher in self._node.get_publishers_info_by_topic(name)}
        if not found:
            return f"nothing publishes {name}: remap {self._image_topic.name} to the camera's topic"
        if expected not in found:
            return f"{name} has type {', '.join(sorted(found))}, expected {expected}: check image_transport"
        return (
            f"a publisher exists on {name} but nothing arrived for 3 s: check that the driver is streaming "
            "and that its QoS is compatible"
        )

    def _subscribe(
        self, message_type: type, topic: Topic, callback: Callable[[bytes], None], depth: int
    ) -> Subscription:
        def on_incompatible_qos(_: Any) -> None:
            text = f"{topic.name}: a publisher does not offer the QoS that qos_overrides requests"
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
            return create(event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_incompatible_qos))
        except UnsupportedEventTypeError:  # some middlewares do not report incompatible QoS
            return create()

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

    def _match(self, cache: StampedCache[bytes], topic: Topic, image: RawImage) -> bytes | None:
        slop_s = self._labels.state.node.sync_slop_s
        name = self._node.resolve_topic_name(topic.name)
        published = self._node.count_publishers(name) > 0
        # Wait from the arrival of the image and not from now, so that several cameras wait at the same time.
        patience_s = image.arrived_s + slop_s - time.monotonic() if published else 0.0
        match = cache.match(image.stamp_ns, round(slop_s * 1e9), patience_s)
        if match.item is not None:
            return match.item
        self._statistics.unmatched(topic.name)
        offset_s = None if match.offset_ns is None else match.offset_ns / 1e9
        if offset_s is not None and abs(offset_s) <= _MAX_SLOP_S:
            problem = f"the nearest message is {offset_s:+.3f} s from the image's stamp: raise sync_slop_s ({slop_s} s)"
        elif not published:
            problem = f"nothing publishes {name}: remap {topic.name} to the camera's topic"
        elif offset_s is None:
            problem = f"a publisher exists on {name} but no message arrived"
        else:
            problem = (
                f"the nearest message is {offset_s:+.3f} s from the image's stamp: "
                "check that the driver is still streaming and that both topics use the same clock"
            )
        self._statistics.problem(topic.name, problem)
        return None


def _deserialize(data: bytes, message_type: type) -> Any:
    """Deserialize a message. Raises ValueError if the bytes are not a message of this type."""
    if message_type is Image:
        return image_from_cdr(data)
    try:
        return deserialize_message(data, message_type)
    except Exception as error:  # rclpy raises RuntimeError, UnicodeDecodeError and others, depending on the fault
        name = message_type.__name__
        raise ValueError(f"expected a serialized sensor_msgs/{name}, got {len(data)} bytes ({error})") from error


def read_stamp_ns(data: bytes) -> int:
    """Read the header stamp of a serialized message that begins with a std_msgs/Header.

    In CDR, the stamp follows four bytes. The last bit of the second byte is set if the message is little endian.

    Args:
        data: The message in CDR.

    Returns:
        The stamp in nanoseconds.
    """
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
