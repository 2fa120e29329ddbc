"""Tests of the transforms that a node receives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lseg_ros.ros.transforms import TransformListener
from lseg_ros.structures import StampedTransform
from test.support.ros_client import LATCHED, RELIABLE, wait_until
from test.test_cdr import tf_message

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

S = 1_000_000_000
IDENTITY = (0.0, 0.0, 0.0, 1.0)
needs_tf2_msgs = pytest.mark.skipif(TFMessage is None, reason="no tf2_msgs: it is part of a ROS installation")


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def node() -> Iterator[Node]:
    """A node that no executor spins."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("poses", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def listener(node: Node, problems: list[str]) -> Iterator[TransformListener]:
    listener = TransformListener(node, problems.append)
    yield listener
    listener.destroy()


def test_messages_fill_the_buffer_and_bad_transforms_cost_only_themselves(
    listener: TransformListener, problems: list[str]
) -> None:
    bad = StampedTransform(S, "odom", "bad", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
    good = StampedTransform(S, "odom", "base", (1.0, 0.0, 0.0), IDENTITY)
    listener.receive(tf_message([bad, good]))
    listener.receive(b"\0\1\0\0\1\0\0\0")
    listener.receive_static(tf_message([good._replace(frame_id="base", child_frame_id="lidar")]))
    assert listener.buffer.lookup("odom", "lidar", S)[0, 3] == 2
    assert ["unit quaternion" in problems[0], "serialized tf2_msgs" in problems[1]] == [True, True]


def test_listener_subscribes_only_if_it_can(node: Node, listener: TransformListener) -> None:
    assert node.count_subscribers("/tf") == node.count_subscribers("/tf_static") == int(listener.available)
    listener.destroy()
    wait_until(lambda: not node.count_subscribers("/tf"), 10)


@needs_tf2_msgs
def test_transforms_arrive_by_dds_and_static_ones_also_late(node: Node, problems: list[str]) -> None:
    def message(parent: str, child: str) -> Any:
        stamped = TransformStamped(child_frame_id=child)
        stamped.header.frame_id = parent
        stamped.transform.translation.x = 1.0
        return TFMessage(transforms=[stamped])

    static = node.create_publisher(TFMessage, "/tf_static", LATCHED)
    static.publish(message("base", "lidar"))
    dynamic = node.create_publisher(TFMessage, "/tf", RELIABLE)
    listener = TransformListener(node, problems.append)
    wait_until(dynamic.get_subscription_count, 10)
    dynamic.publish(message("odom", "base"))
    assert listener.buffer.lookup("odom", "lidar", 0, patience_s=10.0)[0, 3] == 2
    assert problems == []
    listener.destroy()
