"""The obvious way to do the same: what one writes first, with what every tutorial uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from benchmarks.ros.recording import Recorded
from lseg_ros.ros.topics import FRAME_QOS
from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Segmentation

__all__ = ["NaiveBaseline"]

_UINT32, _FLOAT32 = PointField.UINT32, PointField.FLOAT32


class NaiveBaseline:
    """Subscriptions that deserialize, arrays copied as cv_bridge does, points unprojected through a grid of pixels.

    A mask per label in a loop, clouds made of a list of tuples as sensor_msgs_py does, ``msg.data = bytes``. The
    messages are those that ``NodePath`` publishes. prefix: of the topics' names.
    """

    def __init__(self, node: Node, recorded: Recorded, segmentation: Segmentation, prefix: str) -> None:
        self._recorded = recorded
        self._segmentation = segmentation
        self._mask = node.create_publisher(Image, f"{prefix}/mask", FRAME_QOS)
        self._confidence = node.create_publisher(Image, f"{prefix}/confidence", FRAME_QOS)
        self._points = node.create_publisher(PointCloud2, f"{prefix}/points", FRAME_QOS)
        self._clouds = {
            label.id: node.create_publisher(PointCloud2, f"{prefix}/points/{label.slug}", FRAME_QOS)
            for label in segmentation.vocabulary.labels
        }

    def heard(self) -> bool:
        """Whether someone listens to all of it."""
        return all(each.get_subscription_count() for each in (self._mask, self._points, *self._clouds.values()))

    def frame(self) -> None:
        """One frame, from three serialized messages to the last message handed to DDS."""
        mask, confidence, points, clouds = self.messages()
        self._mask.publish(mask)
        self._confidence.publish(confidence)
        self._points.publish(points)
        for number, cloud in clouds.items():
            self._clouds[number].publish(cloud)

    def messages(self) -> tuple[Image, Image, PointCloud2, dict[int, PointCloud2]]:
        """Mask, confidence, organized cloud, and the cloud of each label by its id."""
        image = deserialize_message(self._recorded.image, Image)
        depth = deserialize_message(self._recorded.depth, Image)
        info = deserialize_message(self._recorded.info, CameraInfo)
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
        for number in self._clouds:
            chosen = (ids == number) & np.isfinite(z)
            listed = list(zip(x[chosen], y[chosen], z[chosen], color[chosen]))
            clouds[number] = _cloud(image.header, CLOUD_DTYPE, listed, 1, len(listed), dense=True)
        whole = _cloud(image.header, POINT_DTYPE, organized, image.height, image.width, dense=False)
        return _mono(image.header, ids), _mono(image.header, confidence), whole, clouds


def _mono(header: Any, pixels: NDArray[np.uint8]) -> Image:
    message = Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding="mono8")
    message.step = pixels.shape[1]
    message.data = pixels.tobytes()
    return message


def _cloud(
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
