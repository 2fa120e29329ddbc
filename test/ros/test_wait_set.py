"""Tests of the wait set of a camera with real messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet
from test.support.ros_client import wait_until


@pytest.fixture
def node() -> Iterator[Node]:
    """A node that no executor spins."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("receiver", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


class Topics:
    """Raw subscriptions of a node in the order of their names, and publishers for them."""

    def __init__(self, node: Node, *names: str, callback: Callable[[str], object]) -> None:
        group = DetachedCallbackGroup()

        def take(data: bytes) -> None:
            callback(deserialize_message(data, String).data)

        self.publishers = {name: node.create_publisher(String, name, 10) for name in names}
        self.subscriptions = [
            node.create_subscription(String, name, take, 10, callback_group=group, raw=True) for name in names
        ]
        wait_until(lambda: all(publisher.get_subscription_count() for publisher in self.publishers.values()), 10)

    def publish(self, name: str, text: str) -> None:
        """Publish a text."""
        self.publishers[name].publish(String(data=text))


def test_waiting_messages_are_taken_in_the_order_of_the_subscriptions(node: Node) -> None:
    received: list[str] = []
    topics = Topics(node, "info", "depth", "image", callback=received.append)
    for name in ("image", "depth", "info"):
        topics.publish(name, name)
    time.sleep(0.5)  # until all messages have arrived
    wait_set = SubscriptionWaitSet(node, topics.subscriptions)
    wait_until(lambda: len(received) == 3, 10)
    wait_set.close()
    assert received == ["info", "depth", "image"]


def test_names_the_topic_of_a_message_that_a_callback_cannot_use(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    received: list[str] = []

    def callback(text: str) -> None:
        if text == "bad":
            raise ValueError("bad")
        received.append(text)

    topics = Topics(node, "image", callback=callback)
    wait_set = SubscriptionWaitSet(node, topics.subscriptions)
    topics.publish("image", "bad")
    topics.publish("image", "good")
    wait_until(lambda: received == ["good"], 10)
    wait_set.close()
    assert "/image: a message was lost: bad" in capfd.readouterr().err


def test_receives_nothing_after_it_is_closed(node: Node) -> None:
    received: list[str] = []
    topics = Topics(node, "image", callback=received.append)
    wait_set = SubscriptionWaitSet(node, topics.subscriptions)
    topics.publish("image", "before")
    wait_until(lambda: received == ["before"], 10)
    wait_set.close()
    topics.publish("image", "after")
    time.sleep(0.3)
    assert received == ["before"]


def test_executors_ignore_a_detached_callback_group(node: Node) -> None:
    received: list[str] = []
    topics = Topics(node, "image", callback=received.append)
    topics.publish("image", "hello")
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert not received
