"""A mailbox between the callbacks of several cameras and the worker.

It keeps the newest image of each camera, so callbacks never wait.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item of each sender until one thread takes all of them.

    Any thread may put items. A frequent sender replaces only its own items, so every sender gets its turn.
    """

    def __init__(self) -> None:
        """Create an empty mailbox."""
        self._condition = threading.Condition()
        self._items: dict[str, T] = {}
        self._closed = False

    def put(self, sender: str, item: T) -> bool:
        """Store an item. Return whether it replaced an older item of the same sender."""
        with self._condition:
            superseded = sender in self._items
            self._items[sender] = item
            self._condition.notify()
        return superseded

    def replace(self, sender: str, item: T) -> bool:
        """Replace the sender's waiting item. Return False and store nothing if no item waits."""
        with self._condition:
            waiting = sender in self._items
            if waiting:
                self._items[sender] = item
        return waiting

    def take(self) -> dict[str, T] | None:
        """Wait for an item and take all items, by sender. Return None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or bool(self._items))
            items, self._items = self._items, {}
            return None if self._closed else items

    def close(self) -> None:
        """Make all current and future calls of ``take`` return None."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
