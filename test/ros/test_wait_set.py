"""What takes a camera's messages, with real messages over DDS."""

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
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("receiver", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


class Topics:
    """Raw subscriptions of one node, in the order of their names, and publishers to them."""

    def __init__(self, node: Node, *names: str, callback: Callable[[str], object]) -> None:
        group = DetachedCallbackGroup()

        def take(data: bytes) -> None:
            callback(deserialize_message(data, String).data)

        self.publishers = {name: node.create_publisher(String, name, 10) for name in names}
        self.subscriptions = [
            node.create_subscription(String, name, take, 10, callback_group=group, raw=True) for name in names
        ]
        wait_until(lambda: all(each.get_subscription_count() for each in self.publishers.values()), 10)

    def say(self, name: str, text: str) -> None:
        self.publishers[name].publish(String(data=text))


def test_what_is_there_at_the_same_time_is_taken_in_the_order_of_the_subscriptions(node: Node):
    taken: list[str] = []
    topics = Topics(node, "info", "depth", "image", callback=taken.append)
    for name in ("image", "depth", "info"):
        topics.say(name, name)
    time.sleep(0.5)  # until all are there: nobody takes them yet
    reception = SubscriptionWaitSet(node, topics.subscriptions)
    wait_until(lambda: len(taken) == 3, 10)
    reception.close()
    assert taken == ["info", "depth", "image"]


def test_a_message_that_cannot_be_used_does_not_make_it_deaf(node: Node):
    taken: list[str] = []

    def callback(text: str) -> None:
        if text == "bad":
            raise ValueError("bad")
        taken.append(text)

    topics = Topics(node, "image", callback=callback)
    reception = SubscriptionWaitSet(node, topics.subscriptions)
    topics.say("image", "bad")
    topics.say("image", "good")
    wait_until(lambda: taken == ["good"], 10)
    reception.close()


def test_when_closed_it_takes_nothing_more(node: Node):
    taken: list[str] = []
    topics = Topics(node, "image", callback=taken.append)
    reception = SubscriptionWaitSet(node, topics.subscriptions)
    topics.say("image", "before")
    wait_until(lambda: taken == ["before"], 10)
    reception.close()
    topics.say("image", "after")
    time.sleep(0.3)
    assert taken == ["before"]


def test_no_executor_takes_them(node: Node):
    taken: list[str] = []
    topics = Topics(node, "image", callback=taken.append)
    topics.say("image", "hello")
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert not taken
