"""Checks that several consumers share: memory layout, stamps and quality of service.

Each check yields one text per violation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointField

from test.support.ros_client import read_stamp_ns

SIZES = {PointField.UINT8: 1, PointField.UINT16: 2, PointField.UINT32: 4, PointField.FLOAT32: 4, PointField.FLOAT64: 8}
CHANNELS = {"mono8": 1, "rgb8": 3}


def check_image(name: str, message: Any, encoding: str) -> Iterator[str]:
    """Check an image with one byte per channel and no padding."""
    if message.encoding != encoding:
        yield f"{name}: encoding {message.encoding}"
    elif message.step != message.width * CHANNELS[encoding]:
        yield f"{name}: padded rows"
    elif len(message.data) != message.step * message.height:
        yield f"{name}: {len(message.data)} bytes"


def check_cloud(name: str, message: Any) -> Iterator[str]:
    """Check the layout of a cloud, even if it is empty.

    Points start with x, y and z as float32.
    """
    fields = {field.name: field for field in message.fields}
    xyz = [(fields[axis].offset, fields[axis].datatype) for axis in "xyz" if axis in fields]
    if xyz != [(0, PointField.FLOAT32), (4, PointField.FLOAT32), (8, PointField.FLOAT32)]:
        yield f"{name}: no x, y and z"
    if any(field.count != 1 or field.offset + SIZES[field.datatype] > message.point_step for field in message.fields):
        yield f"{name}: a field outside the point"
    if message.is_bigendian:
        yield f"{name}: big endian"
    if message.row_step != message.width * message.point_step:
        yield f"{name}: padded rows"
    if len(message.data) != message.width * message.height * message.point_step:
        yield f"{name}: {len(message.data)} bytes"


def read_field(message: Any, field_name: str) -> Any:
    """Read the bits of a four-byte field as float32 (height, width)."""
    offset = next(field.offset for field in message.fields if field.name == field_name)
    points = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, message.point_step)
    return np.ascontiguousarray(points[..., offset : offset + 4]).view("<f4")[..., 0]


def check_stamp(name: str, message: Any, other: Any) -> Iterator[str]:
    """Check that a message has the stamp and frame_id of another one."""
    if read_stamp_ns(message) != read_stamp_ns(other):
        yield f"{name}: another stamp"
    if message.header.frame_id != other.header.frame_id or not message.header.frame_id:
        yield f"{name}: frame_id {message.header.frame_id!r}"


def check_qos(name: str, offered: QoSProfile, *, reliable: bool = False, latched: bool = False) -> Iterator[str]:
    """Check that a publisher is compatible with a subscriber that requests these policies."""
    if reliable and offered.reliability != ReliabilityPolicy.RELIABLE:
        yield f"{name}: best effort"
    if latched and offered.durability != DurabilityPolicy.TRANSIENT_LOCAL:
        yield f"{name}: volatile"
