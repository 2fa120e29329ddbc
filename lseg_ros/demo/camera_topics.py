"""Publishers for the topics of an RGB-D camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from lseg_ros.messages import fill_image, meters_to_millimeters
from lseg_ros.ros.conversions import publish_image
from lseg_ros.ros.topics import DEPTH, FRAME_QOS, IMAGE, INFO

__all__ = ["DEPTH_ENCODINGS", "CameraTopics"]

DEPTH_ENCODINGS = ("32FC1", "16UC1")


class CameraTopics:
    """Publishes rgb/image, rgb/camera_info and depth/image."""

    def __init__(self, node: Node, depth_encoding: str) -> None:
        """Create the publishers; ``depth_encoding`` is one of ``DEPTH_ENCODINGS``."""
        self._depth_encoding = depth_encoding
        self._image = node.create_publisher(Image, IMAGE.name, FRAME_QOS)
        self._depth = node.create_publisher(Image, DEPTH.name, FRAME_QOS)
        self._info = node.create_publisher(CameraInfo, INFO.name, FRAME_QOS)

    def publish_image(self, header: Header, rgb: NDArray[np.uint8], camera_info: CameraInfo) -> None:
        """Publish an image (H, W, 3) uint8 RGB and its camera_info with the same header."""
        camera_info.header = header
        self._info.publish(camera_info)
        publish_image(self._image, header, rgb, "rgb8")

    def publish_depth(self, header: Header, depth_m: NDArray[np.float32]) -> None:
        """Publish depth (H, W) in meters, NaN where unknown."""
        message = Image(header=header)
        pixels: NDArray[Any] = meters_to_millimeters(depth_m) if self._depth_encoding == "16UC1" else depth_m
        fill_image(message, pixels, self._depth_encoding)
        self._depth.publish(message)
