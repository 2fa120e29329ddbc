"""Conversion between numpy arrays and serialized sensor_msgs.

rclpy publishes and delivers serialized messages without conversion. This avoids three copies when publishing (into
``data``, into the C message, into the serialized message) and two when receiving.

The encoding is CDR (OMG DDSI-RTPS 2.5, section 10.5): numbers are aligned to their size, and strings and sequences
start with their length. Written messages are little endian.
"""

from __future__ import annotations

import functools
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import StampedTransform

__all__ = [
    "cloud_from_cdr",
    "cloud_to_cdr",
    "image_from_cdr",
    "image_to_cdr",
    "read_frame_id",
    "read_stamp_ns",
    "transforms_from_cdr",
]

_POINT_FIELD_TYPES = {"u4": 6, "f4": 7}  # sensor_msgs/PointField UINT32 and FLOAT32
_LITTLE_ENDIAN_CDR = bytes([0, 1, 0, 0])  # 4 bytes long, which keeps offsets in the message multiples of 4


def image_from_cdr(message: bytes) -> Any:
    """Parse a serialized sensor_msgs/Image.

    Returns:
        An object with the fields of the message; ``data`` is a view of the bytes.

    Raises:
        ValueError: If the bytes are not a serialized Image, for example because they are truncated.
    """
    try:
        return _parse_image(message)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"image: expected a serialized sensor_msgs/Image, got {len(message)} bytes ({error})"
        ) from error


def _parse_image(message: bytes) -> Any:
    order, header, end = _parse_header(message)
    height, width = struct.unpack_from(order + "II", message, _align(end))
    encoding, end = _read_string(message, _align(end) + 8, order)
    step, octets = struct.unpack_from(order + "II", message, _align(end + 1))
    begin = _align(end + 1) + 8
    return SimpleNamespace(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=message[end],
        step=step,
        data=memoryview(message)[begin : begin + octets],
    )


def _parse_header(message: bytes) -> tuple[str, Any, int]:
    """Return the byte order for struct, the std_msgs/Header, and where the header ends."""
    order = "<" if message[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(order + "iI", message, 4)
    frame_id, end = _read_string(message, 12, order)
    return order, SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id), end


def cloud_from_cdr(message: bytes) -> Any:
    """Parse a serialized sensor_msgs/PointCloud2.

    Returns:
        An object with the fields of the message; ``data`` is a view of the bytes.

    Raises:
        ValueError: If the bytes are not a serialized PointCloud2, for example because they are truncated.
    """
    try:
        return _parse_cloud(message)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"cloud: expected a serialized sensor_msgs/PointCloud2, got {len(message)} bytes ({error})"
        ) from error


def _parse_cloud(message: bytes) -> Any:
    order, header, end = _parse_header(message)
    height, width, count = struct.unpack_from(order + "III", message, _align(end))
    end, fields = _align(end) + 12, []
    for _ in range(count):
        name, end = _read_string(message, _align(end), order)
        offset, datatype, elements = struct.unpack_from(order + "IBxxxI", message, _align(end))
        end = _align(end) + 12
        fields.append(SimpleNamespace(name=name, offset=offset, datatype=datatype, count=elements))
    is_bigendian = message[end]
    point_step, row_step, octets = struct.unpack_from(order + "III", message, _align(end + 1))
    begin = _align(end + 1) + 12
    return SimpleNamespace(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=is_bigendian,
        point_step=point_step,
        row_step=row_step,
        data=memoryview(message)[begin : begin + octets],
    )


def read_stamp_ns(data: bytes) -> int:
    """Read the header stamp of a serialized message that begins with a std_msgs/Header.

    In CDR, the stamp follows four bytes. The last bit of the second byte is set if the message is little endian.

    Args:
        data: The message in CDR.

    Returns:
        The stamp in nanoseconds.
    """
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def read_frame_id(data: bytes) -> bytes:
    """Read the frame_id of a serialized message that begins with a std_msgs/Header.

    Args:
        data: The message in CDR.

    Returns:
        The frame_id as bytes, which need not be valid UTF-8.

    Raises:
        ValueError: If the message is too short.
    """
    if len(data) < 16:
        raise ValueError(f"header: expected at least 16 bytes, got {len(data)}")
    (length,) = struct.unpack_from("<I" if data[1] & 1 else ">I", data, 12)
    return data[16 : 16 + length].rstrip(b"\0")


def transforms_from_cdr(message: bytes) -> list[StampedTransform]:
    """Parse a serialized tf2_msgs/TFMessage.

    Raises:
        ValueError: If the bytes are not a serialized TFMessage.
    """
    try:
        return _parse_transforms(message)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"tf: expected a serialized tf2_msgs/TFMessage, got {len(message)} bytes ({error})") from error


def _parse_transforms(message: bytes) -> list[StampedTransform]:
    order = "<" if message[1] & 1 else ">"
    (count,) = struct.unpack_from(order + "I", message, 4)
    transforms, end = [], 8
    for _ in range(count):
        begin = _align(end)
        sec, nanosec = struct.unpack_from(order + "iI", message, begin)
        frame_id, end = _read_string(message, begin + 8, order)
        child_frame_id, end = _read_string(message, _align(end), order)
        begin = 4 + (end - 4 + 7) // 8 * 8  # alignment counts from the end of the four bytes that come first
        x, y, z, *rotation = struct.unpack_from(order + "7d", message, begin)
        end = begin + 56
        stamp_ns = sec * 1_000_000_000 + nanosec
        transforms.append(StampedTransform(stamp_ns, frame_id, child_frame_id, (x, y, z), tuple(rotation)))
    return transforms


def image_to_cdr(header: Any, pixels: NDArray[np.uint8], encoding: str) -> bytes:
    """Serialize a sensor_msgs/Image without row padding.

    Args:
        header: std_msgs/Header.
        pixels: (H, W) uint8 for mono8, or (H, W, 3) uint8 for rgb8.
        encoding: mono8 or rgb8.
    """
    height, width = pixels.shape[:2]
    size = struct.pack("<II", height, width)
    is_bigendian = b"\0"
    begin = _pad(_write_header(header) + size + _write_string(encoding) + is_bigendian)
    return b"".join([begin, struct.pack("<II", pixels.nbytes // height, pixels.nbytes), _raw_bytes(pixels)])


def cloud_to_cdr(header: Any, points: NDArray[np.void], *, is_dense: bool) -> bytes:
    """Serialize a sensor_msgs/PointCloud2.

    An empty cloud declares its fields too, because subscribers look up x, y and z before they check the size.

    Args:
        header: std_msgs/Header.
        points: (H, W), or (N,) for a single row, of a structured dtype with little-endian 4-byte fields.
        is_dense: Whether all points are valid.
    """
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    size = struct.pack("<II", height, width)
    is_bigendian = b"\0"
    begin = _pad(_write_header(header) + size + _write_fields(points.dtype) + is_bigendian)
    point_step = points.itemsize
    steps = struct.pack("<III", point_step, point_step * width, points.nbytes)
    return b"".join([begin, steps, _raw_bytes(points), bytes([is_dense])])


def _write_header(header: Any) -> bytes:
    """Encode the beginning of a message that starts with a std_msgs/Header."""
    stamp = struct.pack("<iI", header.stamp.sec, header.stamp.nanosec)
    return _pad(_LITTLE_ENDIAN_CDR + stamp + _write_string(header.frame_id))


@functools.cache
def _write_fields(dtype: np.dtype[Any]) -> bytes:
    """Encode the sequence of sensor_msgs/PointField of a dtype."""
    fields = [struct.pack("<I", len(dtype.names or ()))]
    for name in dtype.names or ():
        kind, offset = dtype.fields[name][:2]  # type: ignore[index]
        datatype = _POINT_FIELD_TYPES[kind.str[1:]]
        fields.append(_pad(_write_string(name)) + struct.pack("<IBxxxI", offset, datatype, 1))
    return b"".join(fields)


def _write_string(text: str) -> bytes:
    octets = text.encode() + b"\0"
    return struct.pack("<I", len(octets)) + octets


def _read_string(message: bytes, begin: int, order: str) -> tuple[str, int]:
    """Decode the string at ``begin``. Returns it and the offset of its end."""
    (length,) = struct.unpack_from(order + "I", message, begin)
    end = begin + 4 + length
    return message[begin + 4 : end].removesuffix(b"\0").decode(), end


def _pad(octets: bytes) -> bytes:
    return octets + bytes(_align(len(octets)) - len(octets))


def _align(offset: int) -> int:
    return (offset + 3) // 4 * 4


def _raw_bytes(values: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
