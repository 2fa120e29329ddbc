"""Strategies for serialized camera messages: strange fields, and damaged CDR."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from test.fuzz.images import IMAGES, PNG
from test.fuzz.mutations import TEXTS, damaged, damaged_png

__all__ = ["MESSAGES"]

_MAX_DATA_BYTES = 20_000
_ENCODINGS = (
    "rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "16UC1", "32FC1", "64FC1", "8UC1", "8UC3", "rgb16", "nv12",
    "nv21", "yuv422", "uyvy", "yuv422_yuy2", "yuyv", "bayer_rggb8", "bayer_gbrg16",
)  # fmt: skip
_FORMATS = ("", "png", "jpeg", "rgb8; png compressed bgr8", "rgb8; jpeg compressed ", "bayer_rggb8; png compressed ")
_SIZES = st.sampled_from((36, 48, 0, 1, 2, 31, 32, 37)) | st.sampled_from((1 << 15, 1 << 16, 1 << 31, (1 << 32) - 1))
_NUMBERS = st.sampled_from((0.0, 60.0, 8.0, 1e-300, 1e308, -1.0, float("nan"), float("inf"))) | st.floats()
_HEADERS = st.builds(lambda frame_id: Header(frame_id=frame_id), st.just("camera_optical_frame") | TEXTS)


@st.composite
def _images(draw: st.DrawFn) -> Image:
    encoding = draw(st.sampled_from(_ENCODINGS) | TEXTS, "encoding")
    height, width = draw(_SIZES, "height"), draw(_SIZES, "width")
    row_bytes = width * draw(st.sampled_from((1, 2, 3, 4, 8)))
    step = draw(st.sampled_from((row_bytes, row_bytes + 3, 0, 1, (1 << 32) - 1)), "step") & 0xFFFFFFFF
    total = draw(st.sampled_from((step * height, step * height * 3 // 2, step * height - 1, 0)), "bytes of data")
    message = Image(header=draw(_HEADERS), height=height, width=width, encoding=encoding, step=step)
    message.is_bigendian = draw(st.sampled_from((0, 1, 255)))
    message.data = array.array("B", draw(st.binary(min_size=1, max_size=8)) * _MAX_DATA_BYTES)[: _limit(total)]
    return message


@st.composite
def _compressed_images(draw: st.DrawFn) -> CompressedImage:
    content = draw(st.sampled_from(PNG).flatmap(damaged_png) | st.sampled_from([*PNG, *IMAGES]).flatmap(damaged))
    message = CompressedImage(header=draw(_HEADERS), format=draw(st.sampled_from(_FORMATS) | TEXTS))
    message.data = array.array("B", content)
    return message


@st.composite
def _camera_infos(draw: st.DrawFn) -> CameraInfo:
    message = CameraInfo(header=draw(_HEADERS), height=draw(_SIZES), width=draw(_SIZES))
    message.k = draw(st.lists(_NUMBERS, min_size=9, max_size=9))
    message.p = draw(st.lists(_NUMBERS, min_size=12, max_size=12))
    message.d = draw(st.lists(_NUMBERS, max_size=8))
    message.distortion_model = draw(st.sampled_from(("plumb_bob", "equidistant", "")) | TEXTS)
    message.binning_x, message.binning_y = draw(_SIZES), draw(_SIZES)
    message.roi.x_offset, message.roi.y_offset = draw(_SIZES), draw(_SIZES)
    message.roi.width, message.roi.height = draw(_SIZES), draw(_SIZES)
    return message


@st.composite
def _clouds(draw: st.DrawFn) -> PointCloud2:
    numbers = np.array(draw(st.lists(_NUMBERS, min_size=1, max_size=8), "coordinates"))
    with np.errstate(over="ignore"):
        values = numbers.astype("<f4").tobytes()
    if draw(st.booleans(), "readable"):
        height, width = draw(st.integers(1, 4)), draw(st.integers(1, 50))
        fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate("xyz")]
        message = PointCloud2(header=draw(_HEADERS), height=height, width=width, fields=fields)
        message.point_step, message.row_step, size = 12, 12 * width, 12 * width * height
        message.data = array.array("B", (values * (size // len(values) + 1))[:size])
        return message
    message = PointCloud2(header=draw(_HEADERS), height=draw(_SIZES), width=draw(_SIZES))
    names = draw(st.just(["x", "y", "z"]) | st.lists(st.sampled_from(("x", "y", "z", "rgb", "")) | TEXTS, max_size=5))
    kinds = st.just(PointField.FLOAT32) | st.integers(0, 255)
    for index, name in enumerate(names):
        offset = draw(st.just(4 * index) | st.sampled_from((1, 13, (1 << 32) - 4, (1 << 32) - 1)), "offset")
        count = draw(st.just(1) | st.sampled_from((0, 2, (1 << 32) - 1)), "count")
        message.fields.append(PointField(name=name, offset=offset, datatype=draw(kinds, "datatype"), count=count))
    message.point_step = draw(st.sampled_from((12, 16, 20)) | st.sampled_from((0, 1, (1 << 32) - 1)), "point_step")
    row_bytes = message.point_step * message.width
    message.row_step = draw(st.sampled_from((row_bytes, row_bytes + 3, 0, 1)), "row_step") & 0xFFFFFFFF
    total = draw(st.sampled_from((message.row_step * message.height, row_bytes * message.height - 1, 0)), "bytes")
    message.is_bigendian, message.is_dense = draw(st.booleans()), draw(st.booleans())
    message.data = array.array("B", (values * (_MAX_DATA_BYTES // len(values) + 1))[: _limit(total)])
    return message


def _limit(count: int) -> int:
    return max(0, min(count, _MAX_DATA_BYTES))


def _serialized(messages: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Serialize messages; every second one is damaged afterwards."""
    intact = messages.map(serialize_message).map(bytes)
    return intact | intact.flatmap(damaged) | st.binary(max_size=40)


# By topic, without the stamp of the header, which the sender sets.
MESSAGES = {
    "image": _serialized(_images()),
    "compressed": _serialized(_compressed_images()),
    "depth": _serialized(_images()),
    "info": _serialized(_camera_infos()),
    "cloud": _serialized(_clouds()),
}
