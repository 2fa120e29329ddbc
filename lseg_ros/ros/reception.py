"""A thread that takes what comes on a few topics, and looks at nothing else.

rclpy's executors look at everything that a node has, in Python, whenever anything happens: here that is every label's
publisher with its events, at three messages for each image. Where the processor is busy it is worse: until a thread of
its pool has begun with a message, ``MultiThreadedExecutor`` goes round and round without waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

__all__ = ["NotByExecutor", "Reception"]


class NotByExecutor(ReentrantCallbackGroup):  # type: ignore[misc]  # rclpy is Any to mypy
    """A group of subscriptions that no executor takes from; their events (QoS) are its business as ever."""

    def can_execute(self, entity: object) -> bool:
        return not isinstance(entity, Subscription)


class Reception:
    """Takes from subscriptions of the group ``NotByExecutor``, which are raw, and calls them back, until it is closed.

    Of what is there at the same time, messages of the subscriptions named first are taken first. Callbacks run in this
    thread and must not take long.
    """

    def __init__(self, node: Node, subscriptions: Sequence[Subscription]) -> None:
        self._node = node
        self._subscriptions = subscriptions
        self._over = GuardCondition(None, None, context=node.context)
        self._open = True
        self._thread = threading.Thread(target=self._run, name="lseg reception", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more, and return when nothing is being taken."""
        self._open = False
        self._over.trigger()
        self._thread.join()
        self._over.destroy()

    def _run(self) -> None:
        context = self._node.context
        wait_set = rclpy_implementation.WaitSet(len(self._subscriptions), 1, 0, 0, 0, 0, context.handle)
        while self._open and context.ok():
            try:
                for subscription in self._ready(wait_set):
                    _take(subscription, subscription.callback)
            except RuntimeError as error:  # rclpy's, such as no memory for a message
                if context.ok():
                    self._node.get_logger().error(f"a message was lost: {error}", throttle_duration_sec=5.0)

    def _ready(self, wait_set: rclpy_implementation.WaitSet) -> list[Subscription]:
        """Wait; those that something came for."""
        wait_set.clear_entities()
        for each in self._subscriptions:
            wait_set.add_subscription(each.handle)
        wait_set.add_guard_condition(self._over.handle)
        wait_set.wait(1_000_000_000)  # not for ever: nothing tells when the context ends
        ready = wait_set.get_ready_entities("subscription")
        return [each for each in self._subscriptions if each.handle.pointer in ready]


def _take(subscription: Subscription, callback: Callable[[bytes], None]) -> None:
    """Everything that is there."""
    while (taken := subscription.handle.take_message(subscription.msg_type, True)) is not None:
        callback(taken[0])
