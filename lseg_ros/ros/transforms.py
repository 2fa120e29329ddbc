"""Poses of coordinate frames from /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from lseg_ros.cdr import transforms_from_cdr
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet
from lseg_ros.transforms import TransformBuffer

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

__all__ = ["TF_MISSING", "TransformListener"]

TF_MISSING = "tf2_msgs is not installed, so tf cannot be received"  # reason for diagnostics
_DEPTH = 100  # of both topics, as in tf2


class TransformListener:
    """Fills a buffer with the transforms on /tf and /tf_static, in its own thread.

    Create it only while a feature needs poses: a busy robot publishes thousands of transforms per second. Messages are
    parsed here, because tf2_ros is neither available everywhere nor independent of the executor.

    Attributes:
        buffer: The transforms. ``buffer.lookup`` returns a pose from any thread.
        available: Whether tf can be received. If not, ``TF_MISSING`` says why, and the buffer stays empty.
    """

    def __init__(self, node: Node, on_problem: Callable[[str], None]) -> None:
        """Subscribe.

        Args:
            node: The node that subscribes.
            on_problem: Called with a description when a transform is invalid. The others are still used.
        """
        self.buffer = TransformBuffer()
        self.available = TFMessage is not None
        self._node = node
        self._on_problem = on_problem
        self._subscriptions: list[Subscription] = []
        self._wait_set: SubscriptionWaitSet | None = None
        if not self.available:
            return
        group = DetachedCallbackGroup()
        self._subscriptions = [
            node.create_subscription(TFMessage, name, callback, _qos(durability), callback_group=group, raw=True)
            for name, callback, durability in (
                ("/tf_static", self.receive_static, DurabilityPolicy.TRANSIENT_LOCAL),
                ("/tf", self.receive, DurabilityPolicy.VOLATILE),
            )
        ]
        self._wait_set = SubscriptionWaitSet(node, self._subscriptions)

    def receive(self, data: bytes) -> None:
        """Store the transforms of a serialized tf2_msgs/TFMessage."""
        self._store(data, static=False)

    def receive_static(self, data: bytes) -> None:
        """Store the transforms of a serialized tf2_msgs/TFMessage, which are valid at all times."""
        self._store(data, static=True)

    def destroy(self) -> None:
        """Unsubscribe."""
        if self._wait_set is not None:
            self._wait_set.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._wait_set, self._subscriptions = None, []

    def _store(self, data: bytes, *, static: bool) -> None:
        try:
            for transform in transforms_from_cdr(data):
                try:
                    self.buffer.add(transform, static=static)
                except ValueError as error:
                    self._on_problem(str(error))
        except ValueError as error:
            self._on_problem(str(error))


def _qos(durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=durability
    )
