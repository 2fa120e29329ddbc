"""A camera that costs little: one frame, serialized once, sent again and again with the time of day."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from benchmarks.ros.recording import record, stamped
from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import run
from lseg_ros.ros.topics import DEPTH, FRAME_QOS, IMAGE, INFO
from lseg_ros.settings import check, setting

__all__ = ["SteadyCamera", "SteadyCameraConfig"]


@dataclass(frozen=True)
class SteadyCameraConfig:
    """What it sends."""

    width: int = setting(640, "width of the images", unit="px", minimum=16, maximum=4096)
    height: int = setting(480, "height of the images", unit="px", minimum=16, maximum=4096)
    rate_hz: float = setting(30.0, "images in a second", unit="Hz", minimum=0.1, maximum=240.0)
    with_depth: bool = setting(True, "also send depth and camera_info")

    def __post_init__(self) -> None:
        check(self)


class SteadyCamera(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Publishes the camera topics, depth and camera_info before their image."""

    def __init__(self) -> None:
        super().__init__("steady_camera")
        declare(self, SteadyCameraConfig)
        config = read(self, SteadyCameraConfig)
        recorded = record(config.height, config.width)
        self._outputs = [(self.create_publisher(Image, IMAGE.name, FRAME_QOS), recorded.image)]
        if config.with_depth:
            depth = (self.create_publisher(Image, DEPTH.name, FRAME_QOS), recorded.depth)
            info = (self.create_publisher(CameraInfo, INFO.name, FRAME_QOS), recorded.info)
            self._outputs = [info, depth, *self._outputs]
        self.create_timer(1 / config.rate_hz, self._shoot)

    def _shoot(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        for publisher, data in self._outputs:
            publisher.publish(stamped(data, now_ns))


if __name__ == "__main__":
    sys.exit(run(SteadyCamera))
