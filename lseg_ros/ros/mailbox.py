"""One slot between the executor, which must never wait, and the worker: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item until it is taken. Any thread may put; one takes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item; True where it pushed out an older one that nobody had taken."""
        with self._condition:
            pushed_out = self._item is not None
            self._item = item
            self._condition.notify()
        return pushed_out

    def replace(self, item: T) -> bool:
        """Leave an item instead of one that waits; False, and nothing done, where none does."""
        with self._condition:
            waits = self._item is not None
            if waits:
                self._item = item
        return waits

    def take(self) -> T | None:
        """Wait for an item; None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Let whoever waits go, and everyone who comes later."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
