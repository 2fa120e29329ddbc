"""A thread that receives the messages of a few subscriptions and waits for nothing else.

An rclpy executor looks at all entities of a node, in Python, whenever one of them is ready. This node has a publisher
with events for every label, and receives three messages per image. On a busy machine the cost is even higher:
``MultiThreadedExecutor`` loops without waiting until a thread of its pool starts to process a message.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

from lseg_ros.errors import describe_error

__all__ = ["DetachedCallbackGroup", "SubscriptionWaitSet"]


class DetachedCallbackGroup(ReentrantCallbackGroup):  # type: ignore[misc]  # rclpy is Any to mypy
    """A callback group of subscriptions that no executor waits for.

    This includes their QoS events: Fast DDS would wake the executor for every message.
    """

    def can_execute(self, entity: object) -> bool:
        """Tell the executor to skip the entity."""
        return False


class SubscriptionWaitSet:
    """Receives the messages of raw subscriptions in one thread until it is closed.

    The subscriptions belong to a ``DetachedCallbackGroup``. If several messages are ready, those of the first
    subscription are taken first. Callbacks run in this thread and must be fast.
    """

    def __init__(self, node: Node, subscriptions: Sequence[Subscription]) -> None:
        """Start the thread.

        Args:
            node: The node that owns the subscriptions.
            subscriptions: The subscriptions, in the order in which their messages are taken.
        """
        self._node = node
        self._subscriptions = subscriptions
        self._events = [event for subscription in subscriptions for event in subscription.event_handlers]
        self._stop_condition = GuardCondition(None, None, context=node.context)
        self._open = True
        self._thread = threading.Thread(target=self._run, name="lseg subscriptions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait until no callback runs."""
        self._open = False
        self._stop_condition.trigger()
        self._thread.join()
        self._stop_condition.destroy()

    def _run(self) -> None:
        context = self._node.context
        sizes = (len(self._subscriptions), 1, 0, 0, 0, len(self._events))  # the 1 is the guard condition
        wait_set = rclpy_implementation.WaitSet(*sizes, context.handle)
        while self._open and context.ok():
            try:
                self._receive(wait_set)
            except Exception as error:  # rclpy may raise anything, which must not stop the thread
                self._report(f"messages may be lost: {describe_error(error)}")

    def _report(self, text: str) -> None:
        if self._node.context.ok():
            self._node.get_logger().error(text, throttle_duration_sec=5.0)

    def _receive(self, wait_set: rclpy_implementation.WaitSet) -> None:
        """Wait for messages and events, and handle all that are ready."""
        wait_set.clear_entities()
        wait_set.add_guard_condition(self._stop_condition.handle)
        for subscription in self._subscriptions:
            wait_set.add_subscription(subscription.handle)
        for event in self._events:
            event.add_to_wait_set(wait_set)
        wait_set.wait(1_000_000_000)  # with a timeout, because nothing wakes it up when the context ends
        ready = wait_set.get_ready_entities("subscription")
        for subscription in self._subscriptions:
            handle = subscription.handle
            while handle.pointer in ready and (taken := handle.take_message(subscription.msg_type, True)) is not None:
                try:
                    subscription.callback(taken[0])
                except Exception as error:  # a bad message costs only itself
                    self._report(f"{subscription.topic_name}: a message was lost: {describe_error(error)}")
        for event in self._events:
            if event.is_ready(wait_set) and (data := event.take_data()):
                event.callback(data)
