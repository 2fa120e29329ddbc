"""A naive implementation of the node's output, with the methods of common tutorials."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from benchmarks.ros.serialized_frame import SerializedFrame
from lseg_ros.ros.topics import FRAME_QOS
from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Segmentation

__all__ = ["NaiveBaseline"]

_UINT32, _FLOAT32 = PointField.UINT32, PointField.FLOAT32


class NaiveBaseline:
    """Publishes the same messages as ``NodePath``, without its optimizations.

    It deserializes every message, copies arrays like cv_bridge, unprojects points through a grid of pixels, computes a
    mask per label in a loop, builds clouds from lists of tuples like sensor_msgs_py, and assigns ``bytes`` to ``data``.
    """

    def __init__(self, node: Node, frame: SerializedFrame, segmentation: Segmentation, prefix: str) -> None:
        """Create the publishers; ``prefix`` precedes the topic names."""
        self._frame = frame
        self._segmentation = segmentation
        self._mask = node.create_publisher(Image, f"{prefix}/mask", FRAME_QOS)
        self._confidence = node.create_publisher(Image, f"{prefix}/confidence", FRAME_QOS)
        self._points = node.create_publisher(PointCloud2, f"{prefix}/points", FRAME_QOS)
        self._clouds = {
            label.id: node.create_publisher(PointCloud2, f"{prefix}/points/{label.slug}", FRAME_QOS)
            for label in segmentation.vocabulary.labels
        }

    def has_subscribers(self) -> bool:
        """Whether every topic has a subscriber."""
        publishers = (self._mask, self._points, *self._clouds.values())
        return all(publisher.get_subscription_count() for publisher in publishers)

    def run(self) -> None:
        """Process one frame, from three serialized messages to the last message handed to DDS."""
        mask, confidence, points, clouds = self.build_messages()
        self._mask.publish(mask)
        self._confidence.publish(confidence)
        self._points.publish(points)
        for label_id, cloud in clouds.items():
            self._clouds[label_id].publish(cloud)

    def build_messages(self) -> tuple[Image, Image, PointCloud2, dict[int, PointCloud2]]:
        """Build mask, confidence, organized cloud and one cloud per label id."""
        image = deserialize_message(self._frame.image, Image)
        depth = deserialize_message(self._frame.depth, Image)
        info = deserialize_message(self._frame.info, CameraInfo)
        rgb = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).copy()
        millimeters = np.frombuffer(depth.data, np.uint16).reshape(depth.height, depth.width).copy()
        z = np.where(millimeters > 0, millimeters.astype(np.float32) * np.float32(0.001), np.float32(np.nan))
        column, row = np.meshgrid(np.arange(image.width), np.arange(image.height))
        x = (column - info.k[2]) / info.k[0] * z
        y = (row - info.k[5]) / info.k[4] * z
        packed = (rgb[..., 0].astype(np.uint32) << 16) | (rgb[..., 1].astype(np.uint32) << 8) | rgb[..., 2]
        color = packed.astype(np.uint32).view(np.float32)
        ids, confidence = self._segmentation.label_map, self._segmentation.confidence
        organized = list(
            zip(x.ravel(), y.ravel(), z.ravel(), color.ravel(), ids.ravel(), confidence.ravel() / np.float32(255))
        )
        clouds = {}
        for label_id in self._clouds:
            selected = (ids == label_id) & np.isfinite(z)
            points = list(zip(x[selected], y[selected], z[selected], color[selected]))
            clouds[label_id] = _make_cloud(image.header, CLOUD_DTYPE, points, 1, len(points), dense=True)
        cloud = _make_cloud(image.header, POINT_DTYPE, organized, image.height, image.width, dense=False)
        return _make_mono8(image.header, ids), _make_mono8(image.header, confidence), cloud, clouds


def _make_mono8(header: Any, pixels: NDArray[np.uint8]) -> Image:
    message = Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding="mono8")
    message.step = pixels.shape[1]
    message.data = pixels.tobytes()
    return message


def _make_cloud(
    header: Any, dtype: np.dtype[Any], points: list[tuple[Any, ...]], height: int, width: int, *, dense: bool
) -> PointCloud2:
    data = np.array(points, dtype).tobytes()
    message = PointCloud2(header=header, height=height, width=width, is_dense=dense)
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=_UINT32 if name == "label" else _FLOAT32, count=1)
        for index, name in enumerate(dtype.names or ())
    ]
    message.point_step = dtype.itemsize
    message.row_step = dtype.itemsize * width
    message.data = data
    return message
