"""Pair what belongs together by its stamp: the depth and the camera_info of the image that was processed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Match", "StampedBuffer"]

T = TypeVar("T")


@dataclass(frozen=True)
class Match(Generic[T]):
    """What ``StampedBuffer.nearest`` found.

    item: None where nothing was near enough. offset_ns: the stamp of the nearest item minus the one asked for, also
    where that was too far; None where the buffer was empty.
    """

    item: T | None
    offset_ns: int | None


class StampedBuffer(Generic[T]):
    """Recent items by stamp, for one writing and one reading thread.

    Items further than ``span_ns`` from the one that came last are forgotten, on either side: so a clock that jumps
    back (a bag that starts again, a simulation that is reset) begins anew instead of never matching again.
    """

    def __init__(self, span_ns: int) -> None:
        if span_ns <= 0:
            raise ValueError(f"span_ns: expected a positive time in nanoseconds, got {span_ns}")
        self._span_ns = span_ns
        self._items: dict[int, T] = {}
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, item: T) -> None:
        """Remember an item; one of the very same stamp is replaced."""
        with self._lock:
            self._items = {old: kept for old, kept in self._items.items() if abs(old - stamp_ns) <= self._span_ns}
            self._items[stamp_ns] = item

    def nearest(self, stamp_ns: int, slop_ns: int) -> Match[T]:
        """The item nearest to a stamp, if not further than ``slop_ns`` from it (of two as near, the older one)."""
        with self._lock:
            if not self._items:
                return Match(None, None)
            nearest = min(self._items, key=lambda each: (abs(each - stamp_ns), each))
            item = self._items[nearest] if abs(nearest - stamp_ns) <= slop_ns else None
        return Match(item, nearest - stamp_ns)

    def clear(self) -> None:
        with self._lock:
            self._items = {}

    def __len__(self) -> int:
        return len(self._items)
