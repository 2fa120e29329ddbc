"""A subscriber that only counts messages: the cost of DDS and rclpy alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import UInt64

from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import run
from lseg_ros.settings import check, setting

__all__ = ["RECEIVED", "Listener", "ListenerConfig"]

RECEIVED = "listener/received"


@dataclass(frozen=True)
class ListenerConfig:
    """Parameters of the listener."""

    images: tuple[str, ...] = setting((), "topics of type sensor_msgs/Image")
    clouds: tuple[str, ...] = setting((), "topics of type sensor_msgs/PointCloud2")
    reliable: bool = setting(True, "reliable QoS, like a planner; false for best effort, like the node's camera topics")

    def __post_init__(self) -> None:
        """Check all parameters."""
        check(self)


class Listener(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Counts the messages of raw subscriptions.

    Publishes the count twice a second on ``listener/received``.
    """

    def __init__(self) -> None:
        """Subscribe to all topics."""
        super().__init__("listener")
        declare(self, ListenerConfig)
        config = read(self, ListenerConfig)
        self._received = 0
        reliability = ReliabilityPolicy.RELIABLE if config.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=2, reliability=reliability)
        for message_type, topics in ((Image, config.images), (PointCloud2, config.clouds)):
            for topic in topics:
                self.create_subscription(message_type, topic, self._on_message, qos, raw=True)
        self._publisher = self.create_publisher(UInt64, RECEIVED, 1)
        self.create_timer(0.5, lambda: self._publisher.publish(UInt64(data=self._received)))

    def _on_message(self, _: bytes) -> None:
        self._received += 1


if __name__ == "__main__":
    sys.exit(run(Listener))
