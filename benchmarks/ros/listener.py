"""A subscriber that does nothing with what comes: what DDS and rclpy themselves take, and no more."""

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

__all__ = ["HEARD", "Listener", "ListenerConfig"]

HEARD = "listener/heard"


@dataclass(frozen=True)
class ListenerConfig:
    """What it listens to."""

    images: tuple[str, ...] = setting((), "topics of sensor_msgs/Image")
    clouds: tuple[str, ...] = setting((), "topics of sensor_msgs/PointCloud2")
    reliable: bool = setting(True, "as a planner asks for it; best effort is how the node listens to a camera")

    def __post_init__(self) -> None:
        check(self)


class Listener(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Raw subscriptions that count; ``listener/heard`` says once in half a second how many messages there were."""

    def __init__(self) -> None:
        super().__init__("listener")
        declare(self, ListenerConfig)
        config = read(self, ListenerConfig)
        self._heard = 0
        reliability = ReliabilityPolicy.RELIABLE if config.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=2, reliability=reliability)
        for kind, topics in ((Image, config.images), (PointCloud2, config.clouds)):
            for topic in topics:
                self.create_subscription(kind, topic, self._count, qos, raw=True)
        self._publisher = self.create_publisher(UInt64, HEARD, 1)
        self.create_timer(0.5, lambda: self._publisher.publish(UInt64(data=self._heard)))

    def _count(self, _: bytes) -> None:
        self._heard += 1


if __name__ == "__main__":
    sys.exit(run(Listener))
