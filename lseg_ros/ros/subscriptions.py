"""Raw camera subscriptions.

Messages are kept as CDR bytes and deserialized only when a frame is processed.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lseg_ros.cdr import image_from_cdr
from lseg_ros.quoting import escape, quote
from lseg_ros.ros.diagnostics import Statistics
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.topics import DEPTH, IMAGE, INFO, LATCHED_QOS, Topic, image_topic, resolve_transport
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = ["CameraSubscriptions", "Match", "RawImage", "StampedCache", "read_frame_id", "read_stamp_ns"]

T = TypeVar("T")

_MAX_SLOP_S = 1.0  # maximum of the parameter sync_slop_s
_MAX_ITEMS = 200  # of a cache, for drivers whose stamps stay within one second
_MAX_BYTES = 256 << 20  # of the messages in a cache
_MAX_INFO_BYTES = 1 << 20  # the same for camera_info
_MAX_FRAME_IDS = 16  # whose camera_info is kept
_INPUTS = 3  # image, depth and camera_info
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
        arrived_s: Monotonic time at which the nearest item was added, or None if the cache is empty.
    """

    item: T | None
    offset_ns: int | None
    arrived_s: float | None = dataclasses.field(default=None, compare=False)


class StampedCache(Generic[T]):
    """The most recent items of one topic, looked up by stamp.

    One thread adds items and another matches them. Items whose stamps differ from the newest item by more than
    ``span_ns`` are dropped, in both directions. If the clock jumps back (a bag restarts or a simulation is reset), the
    cache starts over instead of never matching again.

    Count and size are limited, because the stamps of a driver that leaves ``sec`` at 0 stay within one second. The
    oldest arrivals are dropped first.
    """

    def __init__(self, span_ns: int = 1_000_000_000, max_bytes: int = _MAX_BYTES) -> None:
        """Create an empty cache.

        Args:
            span_ns: Largest stamp difference to the newest item that is kept, in nanoseconds.
            max_bytes: Largest total size of the items, if they are bytes. The newest item is always kept.

        Raises:
            ValueError: If ``span_ns`` is not positive.
        """
        if span_ns <= 0:
            raise ValueError(f"span_ns: expected a positive time in nanoseconds, got {span_ns}")
        self._span_ns = span_ns
        self._max_bytes = max_bytes
        self._items: dict[int, T] = {}
        self._arrived_s: dict[int, float] = {}
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
            self._arrived_s[stamp_ns] = time.monotonic()
            self._arrived_s = {kept_ns: self._arrived_s[kept_ns] for kept_ns in self._items}
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

    def newest(self) -> T | None:
        """Return the item that was added last, or None if the cache is empty."""
        with self._changed:
            return None if self._last_ns is None else self._items[self._last_ns]

    def _drop_excess(self) -> None:
        sizes = [len(item) if isinstance(item, bytes) else 0 for item in self._items.values()]
        total, count = sum(sizes), len(sizes)
        for stamp_ns, size in zip(list(self._items), sizes):
            if count <= 1 or (count <= _MAX_ITEMS and total <= self._max_bytes):
                break
            del self._items[stamp_ns]
            total, count = total - size, count - 1

    def _nearest(self, stamp_ns: int, slop_ns: int) -> Match[T]:
        if not self._items:
            return Match(None, None)
        nearest_ns = min(self._items, key=lambda item_ns: (abs(item_ns - stamp_ns), item_ns))
        item = self._items[nearest_ns] if abs(nearest_ns - stamp_ns) <= slop_ns else None
        return Match(item, nearest_ns - stamp_ns, self._arrived_s[nearest_ns])

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
        self._infos: dict[bytes, StampedCache[bytes]] = {}  # by frame_id, the one used last at the end
        self._infos_lock = threading.Lock()
        self._last_stamp_ns: int | None = None  # of the last image for which camera_info was looked up
        self._last_miss: tuple[int, float] | None = None  # stamp and arrival of the last image without depth
        compressed = labels.state.node.image_transport == "compressed"
        self._image_topic = image_topic(camera, labels.state.node.image_transport)
        self._image_name = self._image_topic.name
        if compressed:
            self._image_name = resolve_transport(node, IMAGE.for_camera(camera).name, "compressed")
        self._depth_topic, self._info_topic = DEPTH.for_camera(camera), INFO.for_camera(camera)
        self._image_type = CompressedImage if compressed else Image
        self._group = DetachedCallbackGroup()
        # The wait set takes messages in this order, so camera_info and depth are stored before their image.
        self._subscriptions = [
            self._subscribe(CameraInfo, self._info_topic.name, self._on_info, 5),
            self._subscribe(Image, self._depth_topic.name, self._on_depth, 5),
            self._subscribe(self._image_type, self._image_name, self._on_image, 2),
        ]
        self._wait_set = SubscriptionWaitSet(node, self._subscriptions)

    def match_depth(self, image: RawImage) -> Any:
        """Find the depth Image of an image, and wait for it if it may still arrive.

        Returns:
            The message, or None if no depth matches.
        """
        return self._read(self._match_depth(image), Image, self._depth_topic)

    def find_depth(self, stamp_ns: int) -> Any:
        """Find the depth Image of a past stamp without waiting or counting a miss.

        Returns:
            The message, or None if no depth matches.
        """
        item = self._depth.match(stamp_ns, round(self._labels.state.node.sync_slop_s * 1e9)).item
        return self._read(item, Image, self._depth_topic)

    def match_camera_info(self, image: RawImage) -> CameraInfo | None:
        """Find the CameraInfo of an image.

        It is the one with the image's stamp, for which this method waits if it may still arrive, otherwise the newest
        one of its frame_id. A CameraInfo that was published once, seldom, or without a stamp belongs to all images
        until the next one arrives.

        Returns:
            The message, or None if no CameraInfo of this frame_id arrived.

        Raises:
            ValueError: If the image has no readable header.
        """
        cache, config = self._info_cache(read_frame_id(image.data)), self._labels.state.node
        slop_ns, last_ns = round(config.sync_slop_s * 1e9), self._last_stamp_ns
        self._last_stamp_ns = image.stamp_ns
        # Only if the last image got its own CameraInfo, another one is worth waiting for.
        expected = last_ns is None or cache.match(last_ns, slop_ns).item is not None
        patience_s = self._patience_s(image, self._info_topic) if expected else 0.0
        data = cache.match(image.stamp_ns, slop_ns, patience_s).item or cache.newest() or self._info_cache(b"").newest()
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

    def _subscribe_to_latched_info(self) -> None:
        """Ask for the CameraInfo that was latched before this node subscribed.

        The first subscription does not get it, and it stays, because only it matches publishers that are volatile.
        """
        name = self._node.resolve_topic_name(self._info_topic.name)
        durabilities = [info.qos_profile.durability for info in self._node.get_publishers_info_by_topic(name)]
        if DurabilityPolicy.TRANSIENT_LOCAL not in durabilities or len(self._subscriptions) > _INPUTS:
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
        self._subscriptions.insert(0, latched)
        self._wait_set = SubscriptionWaitSet(self._node, self._subscriptions)

    def _on_info(self, data: bytes) -> None:
        self._info_cache(read_frame_id(data)).add(read_stamp_ns(data), data)

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

    def _info_cache(self, frame_id: bytes) -> StampedCache[bytes]:
        """Return the cache of a frame_id. The caches that were used last are kept."""
        with self._infos_lock:
            cache = self._infos.pop(frame_id, None)
            if cache is None:
                cache = StampedCache(max_bytes=_MAX_INFO_BYTES)
            self._infos[frame_id] = cache
            if len(self._infos) > _MAX_FRAME_IDS:
                del self._infos[next(iter(self._infos))]
        return cache

    def _patience_s(self, image: RawImage, topic: Topic) -> float:
        """Return how long to wait for a message of an image, 0 if nothing publishes it."""
        if not self._node.count_publishers(self._node.resolve_topic_name(topic.name)):
            return 0.0
        # Counted from the arrival of the image and not from now, so that several cameras wait at the same time.
        return image.arrived_s + self._labels.state.node.sync_wait_s - time.monotonic()

    def _match_depth(self, image: RawImage) -> bytes | None:
        slop_ns = round(self._labels.state.node.sync_slop_s * 1e9)
        match = self._depth.match(image.stamp_ns, slop_ns, self._patience_s(image, self._depth_topic))
        if match.item is None:
            self._statistics.unmatched(self._depth_topic.name)
            self._statistics.problem(self._depth_topic.name, self._explain_missing_depth(match, slop_ns))
            self._last_miss = image.stamp_ns, image.arrived_s
        return match.item

    def _explain_missing_depth(self, match: Match[bytes], slop_ns: int) -> str:
        config, last = self._labels.state.node, self._last_miss
        if match.offset_ns is None or match.arrived_s is None:
            return self._explain_silence(self._depth_topic.name, self._depth_topic)
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
        with self._infos_lock:
            others = [frame_id.decode(errors="replace") for frame_id, cache in self._infos.items() if len(cache)]
        if not others:
            return self._explain_silence(self._info_topic.name, self._info_topic)
        expected = read_frame_id(image.data).decode(errors="replace")
        return (
            f"no clouds: messages with frame_id {', '.join(map(quote, others))} arrived, "
            f"expected the image's frame_id {quote(expected)}: check the driver"
        )

    def _explain_silence(self, name: str, topic: Topic, since: str = "yet") -> str:
        """Explain why no message of a topic arrives: what publishes it, and what to check."""
        name, expected = self._node.resolve_topic_name(name), topic.type.replace("/", "/msg/")
        publishers = self._node.get_publishers_info_by_topic(name)
        types = sorted({publisher.topic_type for publisher in publishers})
        if not types:
            return f"nothing publishes {name}: remap {topic.name} to the camera's topic"
        if expected not in types:
            remedy = "check image_transport" if topic == self._image_topic else f"remap {topic.name}"
            return f"{name} has type {escape(', '.join(types), 200)}, expected {expected}: {remedy}"
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


def read_frame_id(data: bytes) -> bytes:
    """Read the frame_id of a serialized message that begins with a std_msgs/Header.

    Args:
        data: The message in CDR.

    Returns:
        The frame_id as bytes, which need not be valid UTF-8.

    Raises:
        ValueError: If the message is too short.
    """
    if len(data) < 16:
        raise ValueError(f"header: expected at least 16 bytes, got {len(data)}")
    (length,) = struct.unpack_from("<I" if data[1] & 1 else ">I", data, 12)
    return data[16 : 16 + length].rstrip(b"\0")
