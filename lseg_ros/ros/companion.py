"""What comes beside the image, on a topic of its own: depth or camera_info."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

from lseg_ros.sync import Match, StampedBuffer

__all__ = ["StampedCache"]

T = TypeVar("T")

_SPAN_NS = 1_000_000_000


class StampedCache(Generic[T]):
    """The last second of a topic, from which the item of an image's moment is picked.

    One thread adds, another matches. An item's stamp need not be the image's, and an item may come after its image;
    so ``match`` waits for a better one as long as one can still come.
    """

    def __init__(self) -> None:
        self._buffer: StampedBuffer[T] = StampedBuffer(_SPAN_NS)
        self._changed = threading.Condition()
        self._last_ns: int | None = None
        self._period_ns = 0

    def add(self, stamp_ns: int, item: T) -> None:
        """Remember an item of this stamp in nanoseconds."""
        with self._changed:
            if self._last_ns is not None:
                self._period_ns = max(stamp_ns - self._last_ns, 0)
            self._last_ns = stamp_ns
            self._buffer.add(stamp_ns, item)
            self._changed.notify_all()

    def match(self, stamp_ns: int, slop_ns: int, patience_s: float = 0.0) -> Match[T]:
        """The item nearest to a stamp and within ``slop_ns`` of it, waiting at most ``patience_s`` (if any) for it."""
        deadline = time.monotonic() + patience_s
        with self._changed:
            match = self._buffer.nearest(stamp_ns, slop_ns)
            while not self._final(match) and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)
                match = self._buffer.nearest(stamp_ns, slop_ns)
        return match

    def _final(self, match: Match[T]) -> bool:
        """Whether nothing nearer can come: stamps rise, and the next is about a period after the last."""
        if match.offset_ns is None:
            return False
        return match.offset_ns >= 0 or (match.item is not None and -match.offset_ns <= self._period_ns // 2)
