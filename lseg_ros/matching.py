"""Match messages by stamp: depth and camera_info to their image.

The node and recordings use the same rules, so a recording gives the results that the node gives live.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["CameraInfoCache", "Match", "StampedCache"]

T = TypeVar("T")

_MAX_ITEMS = 200  # of a cache, for drivers whose stamps stay within one second
_MAX_BYTES = 256 << 20  # of the messages in a cache
_MAX_INFO_BYTES = 1 << 20  # the same for camera_info
_MAX_FRAME_IDS = 16  # whose camera_info is kept


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
            while not self.is_final(match) and (left_s := deadline_s - time.monotonic()) > 0:
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

    def is_final(self, match: Match[T]) -> bool:
        """Return whether no nearer item can arrive.

        Assumes that stamps increase by about one period.
        """
        if match.offset_ns is None:
            return False
        return match.offset_ns >= 0 or (match.item is not None and -match.offset_ns <= self._period_ns // 2)

    def __len__(self) -> int:
        return len(self._items)


class CameraInfoCache(Generic[T]):
    """The most recent camera_info of each frame_id.

    One thread adds messages and another matches them. The caches that were used last are kept.
    """

    def __init__(self) -> None:
        self._caches: dict[bytes, StampedCache[T]] = {}  # by frame_id, the one used last at the end
        self._lock = threading.Lock()
        self._last_ns: int | None = None  # stamp of the last image

    def add(self, frame_id: bytes, stamp_ns: int, item: T) -> None:
        """Store a message."""
        self.of_frame_id(frame_id).add(stamp_ns, item)

    def match(self, frame_id: bytes, stamp_ns: int, slop_ns: int, patience_s: float = 0.0) -> T | None:
        """Find the camera_info of an image.

        It is the one with the image's stamp, for which this method waits if it may still arrive, otherwise the newest
        one of its frame_id. A camera_info that was published once, seldom, or without a stamp belongs to all images
        until the next one arrives. One without a frame_id belongs to all images without their own.

        Args:
            frame_id: Coordinate frame of the image.
            stamp_ns: Stamp of the image in nanoseconds.
            slop_ns: Largest difference of two stamps that count as the same, in nanoseconds.
            patience_s: How long to wait, in seconds, while the message may still arrive.

        Returns:
            The message, or None if no message of this frame_id arrived.
        """
        if not self.expects_own(frame_id, stamp_ns, slop_ns):
            patience_s = 0.0
        return self.find(frame_id, stamp_ns, slop_ns, patience_s)

    def find(self, frame_id: bytes, stamp_ns: int, slop_ns: int, patience_s: float = 0.0) -> T | None:
        """Find the camera_info of an image, like ``match``, but also wait if it is not expected."""
        cache = self.of_frame_id(frame_id)
        own = cache.match(stamp_ns, slop_ns, patience_s).item
        return own or cache.newest() or self.of_frame_id(b"").newest()

    def expects_own(self, frame_id: bytes, stamp_ns: int, slop_ns: int) -> bool:
        """Return whether an image may get its own message, and remember its stamp.

        Only if the image before it got its own message, another one is worth waiting for.
        """
        last_ns, self._last_ns = self._last_ns, stamp_ns
        return last_ns is None or self.of_frame_id(frame_id).match(last_ns, slop_ns).item is not None

    def of_frame_id(self, frame_id: bytes) -> StampedCache[T]:
        """Return the messages of a frame_id."""
        with self._lock:
            cache = self._caches.pop(frame_id, None)
            if cache is None:
                cache = StampedCache(max_bytes=_MAX_INFO_BYTES)
            self._caches[frame_id] = cache
            if len(self._caches) > _MAX_FRAME_IDS:
                del self._caches[next(iter(self._caches))]
        return cache

    def frame_ids(self) -> list[bytes]:
        """List the frame_ids with messages."""
        with self._lock:
            return [frame_id for frame_id, cache in self._caches.items() if len(cache)]
