"""A camera with little CPU use.

It publishes one serialized frame again and again with new stamps.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from benchmarks.ros.serialized_frame import serialize_frame, with_stamp
from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import run
from lseg_ros.ros.topics import DEPTH, FRAME_QOS, IMAGE, INFO
from lseg_ros.settings import check, setting

__all__ = ["SteadyCamera", "SteadyCameraConfig"]


@dataclass(frozen=True)
class SteadyCameraConfig:
    """Parameters of the camera."""

    width: int = setting(640, "width of the images", unit="px", minimum=16, maximum=4096)
    height: int = setting(480, "height of the images", unit="px", minimum=16, maximum=4096)
    rate_hz: float = setting(30.0, "image rate", unit="Hz", minimum=0.1, maximum=240.0)
    with_depth: bool = setting(True, "also publish depth and camera_info")

    def __post_init__(self) -> None:
        """Check all parameters."""
        check(self)


class SteadyCamera(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Publishes the camera topics; depth and camera_info precede their image."""

    def __init__(self) -> None:
        """Serialize the frame and start the timer."""
        super().__init__("steady_camera")
        declare(self, SteadyCameraConfig)
        config = read(self, SteadyCameraConfig)
        frame = serialize_frame(config.height, config.width)
        self._outputs = [(self.create_publisher(Image, IMAGE.name, FRAME_QOS), frame.image)]
        if config.with_depth:
            depth = (self.create_publisher(Image, DEPTH.name, FRAME_QOS), frame.depth)
            info = (self.create_publisher(CameraInfo, INFO.name, FRAME_QOS), frame.info)
            self._outputs = [info, depth, *self._outputs]
        self.create_timer(1 / config.rate_hz, self._on_timer)

    def _on_timer(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        for publisher, data in self._outputs:
            publisher.publish(with_stamp(data, now_ns))


if __name__ == "__main__":
    sys.exit(run(SteadyCamera))
