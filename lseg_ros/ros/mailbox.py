"""A slot for each camera between the executor, which must never wait, and the worker: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item of each sender until all are taken together. Any thread may put; one takes.

    So nobody starves: who sends often pushes out only what is its own.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: dict[str, T] = {}
        self._closed = False

    def put(self, sender: str, item: T) -> bool:
        """Leave an item; True where it pushed out an older one of its sender that nobody had taken."""
        with self._condition:
            superseded = sender in self._items
            self._items[sender] = item
            self._condition.notify()
        return superseded

    def replace(self, sender: str, item: T) -> bool:
        """Leave an item instead of one of its sender that waits; False, and nothing done, where none does."""
        with self._condition:
            waits = sender in self._items
            if waits:
                self._items[sender] = item
        return waits

    def take(self) -> dict[str, T] | None:
        """Wait for an item and take all there are, by sender; None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or bool(self._items))
            items, self._items = self._items, {}
            return None if self._closed else items

    def close(self) -> None:
        """Let whoever waits go, and everyone who comes later."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
