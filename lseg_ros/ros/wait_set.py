"""A thread that takes what comes on a few topics, and looks at nothing else.

rclpy's executors look at everything that a node has, in Python, whenever anything happens: here that is every label's
publisher with its events, at three messages for each image. Where the processor is busy it is worse: until a thread of
its pool has begun with a message, ``MultiThreadedExecutor`` goes round and round without waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

__all__ = ["DetachedCallbackGroup", "SubscriptionWaitSet"]


class DetachedCallbackGroup(ReentrantCallbackGroup):  # type: ignore[misc]  # rclpy is Any to mypy
    """A group of subscriptions that no executor waits for.

    Nor for their events (QoS): Fast DDS would wake it for every message there is, and for nothing.
    """

    def can_execute(self, entity: object) -> bool:
        return False


class SubscriptionWaitSet:
    """Takes messages from raw subscriptions of a ``DetachedCallbackGroup`` and runs their callbacks until it is closed.

    Of what is there at the same time, messages of the subscriptions named first are taken first. Callbacks run in this
    thread and must not take long.
    """

    def __init__(self, node: Node, subscriptions: Sequence[Subscription]) -> None:
        self._node = node
        self._subscriptions = subscriptions
        self._events = [event for each in subscriptions for event in each.event_handlers]
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
        sizes = (len(self._subscriptions), 1, 0, 0, 0, len(self._events))  # second, a guard condition
        wait_set = rclpy_implementation.WaitSet(*sizes, context.handle)
        while self._open and context.ok():
            try:
                self._receive(wait_set)
            except Exception as error:  # rclpy's or a callback's: a bad message must not make the node deaf
                if context.ok():
                    self._node.get_logger().error(f"a message was lost: {error}", throttle_duration_sec=5.0)

    def _receive(self, wait_set: rclpy_implementation.WaitSet) -> None:
        """Wait, and take everything that came."""
        wait_set.clear_entities()
        wait_set.add_guard_condition(self._over.handle)
        for each in self._subscriptions:
            wait_set.add_subscription(each.handle)
        for each in self._events:
            each.add_to_wait_set(wait_set)
        wait_set.wait(1_000_000_000)  # not for ever: nothing tells when the context ends
        ready = wait_set.get_ready_entities("subscription")
        for each in self._subscriptions:
            while each.handle.pointer in ready and (taken := each.handle.take_message(each.msg_type, True)) is not None:
                each.callback(taken[0])
        for each in self._events:
            if each.is_ready(wait_set) and (told := each.take_data()):
                each.callback(told)
