"""sensor_msgs <-> the bytes that DDS carries for them, without a message in between.

rclpy publishes bytes as they are, and hands them over as they came. A message would be copied three times on the way
out: into its ``data``, into the C message, and into such bytes; and twice on the way in. The encoding is CDR (OMG
DDSI-RTPS 2.5, 10.5): numbers lie at multiples of their size, strings and lists begin with their length. The type's
definition says the rest. What is written is little endian.
"""

from __future__ import annotations

import functools
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cloud_to_cdr", "image_from_cdr", "image_to_cdr"]

_POINT_FIELD_TYPES = {"u4": 6, "f4": 7}  # sensor_msgs/PointField UINT32 and FLOAT32
_LITTLE_ENDIAN_CDR = bytes([0, 1, 0, 0])  # four bytes, so what is a multiple of 4 in the message is one here


def image_from_cdr(message: bytes) -> Any:
    """A serialized sensor_msgs/Image -> its fields under their names, ``data`` being a view of the bytes."""
    order = "<" if message[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(order + "iI", message, 4)
    frame_id, end = _read_string(message, 12, order)
    height, width = struct.unpack_from(order + "II", message, _align(end))
    encoding, end = _read_string(message, _align(end) + 8, order)
    step, octets = struct.unpack_from(order + "II", message, _align(end + 1))
    begin = _align(end + 1) + 8
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=message[end],
        step=step,
        data=memoryview(message)[begin : begin + octets],
    )


def image_to_cdr(header: Any, pixels: NDArray[np.uint8], encoding: str) -> bytes:
    """A sensor_msgs/Image of pixels without row padding: (H, W) uint8 for mono8, (H, W, 3) for rgb8."""
    height, width = pixels.shape[:2]
    size = struct.pack("<II", height, width)
    is_bigendian = b"\0"
    begin = _pad(_write_header(header) + size + _write_string(encoding) + is_bigendian)
    return b"".join([begin, struct.pack("<II", pixels.nbytes // height, pixels.nbytes), _raw_bytes(pixels)])


def cloud_to_cdr(header: Any, points: NDArray[np.void], *, is_dense: bool) -> bytes:
    """A sensor_msgs/PointCloud2 of a structured array of little-endian numbers of four bytes: (H, W), or (N,) as a row.

    An empty one declares its fields too: readers look for x, y and z before they look at the size.
    """
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    size = struct.pack("<II", height, width)
    is_bigendian = b"\0"
    begin = _pad(_write_header(header) + size + _write_fields(points.dtype) + is_bigendian)
    point_step = points.itemsize
    steps = struct.pack("<III", point_step, point_step * width, points.nbytes)
    return b"".join([begin, steps, _raw_bytes(points), bytes([is_dense])])


def _write_header(header: Any) -> bytes:
    """What a message with a std_msgs/Header begins with."""
    stamp = struct.pack("<iI", header.stamp.sec, header.stamp.nanosec)
    return _pad(_LITTLE_ENDIAN_CDR + stamp + _write_string(header.frame_id))


@functools.cache
def _write_fields(dtype: np.dtype[Any]) -> bytes:
    """A list of sensor_msgs/PointField."""
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
    """The text that begins there, and where it ends."""
    (length,) = struct.unpack_from(order + "I", message, begin)
    end = begin + 4 + length
    return message[begin + 4 : end - 1].decode(), end


def _pad(octets: bytes) -> bytes:
    return octets + bytes(_align(len(octets)) - len(octets))


def _align(place: int) -> int:
    return (place + 3) // 4 * 4


def _raw_bytes(values: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
