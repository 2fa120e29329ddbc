"""What every reader of images and clouds takes for granted of their bytes, for they are read without asking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointField

from test.support.ros_client import read_stamp_ns

SIZES = {PointField.UINT8: 1, PointField.UINT16: 2, PointField.UINT32: 4, PointField.FLOAT32: 4, PointField.FLOAT64: 8}
CHANNELS = {"mono8": 1, "rgb8": 3}


def image(name: str, message: Any, encoding: str) -> Iterator[str]:
    """Objections to an image of one byte per channel without padding."""
    if message.encoding != encoding:
        yield f"{name}: encoding {message.encoding}"
    elif message.step != message.width * CHANNELS[encoding]:
        yield f"{name}: padded rows"
    elif len(message.data) != message.step * message.height:
        yield f"{name}: {len(message.data)} bytes"


def cloud(name: str, message: Any) -> Iterator[str]:
    """Objections to the layout of a cloud, an empty one too: x, y and z as floats, the first of each point."""
    fields = {field.name: field for field in message.fields}
    xyz = [(fields[axis].offset, fields[axis].datatype) for axis in "xyz" if axis in fields]
    if xyz != [(0, PointField.FLOAT32), (4, PointField.FLOAT32), (8, PointField.FLOAT32)]:
        yield f"{name}: no x, y and z"
    if any(field.count != 1 or field.offset + SIZES[field.datatype] > message.point_step for field in message.fields):
        yield f"{name}: a field outside of its point"
    if message.is_bigendian:
        yield f"{name}: big endian"
    if message.row_step != message.width * message.point_step:
        yield f"{name}: padded rows"
    if len(message.data) != message.width * message.height * message.point_step:
        yield f"{name}: {len(message.data)} bytes"


def values(message: Any, field_name: str) -> np.ndarray:
    """(height, width) of a field of four bytes, bit for bit as float32."""
    offset = next(field.offset for field in message.fields if field.name == field_name)
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, message.point_step)
    return np.ascontiguousarray(rows[..., offset : offset + 4]).view("<f4")[..., 0]


def stamps(name: str, message: Any, other: Any) -> Iterator[str]:
    """Objections to a message that should go with another."""
    if read_stamp_ns(message) != read_stamp_ns(other):
        yield f"{name}: another stamp"
    if message.header.frame_id != other.header.frame_id or not message.header.frame_id:
        yield f"{name}: frame_id {message.header.frame_id!r}"


def quality(name: str, offered: QoSProfile, *, reliable: bool = False, latched: bool = False) -> Iterator[str]:
    """Objections to what is offered to a subscriber that asks for this much."""
    if reliable and offered.reliability != ReliabilityPolicy.RELIABLE:
        yield f"{name}: best effort"
    if latched and offered.durability != DurabilityPolicy.TRANSIENT_LOCAL:
        yield f"{name}: volatile"
