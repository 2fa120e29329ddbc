"""sensor_msgs -> the bytes that DDS carries for them, without a message in between.

rclpy publishes bytes as they are. A message would be copied three times on the way there: into its ``data``, into the
C message, and into such bytes. The encoding is CDR, little endian (OMG DDSI-RTPS 2.5, 10.5): numbers lie at multiples
of their size, strings and lists begin with their length. The type's definition says the rest.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cloud_bytes", "image_bytes"]

_POINT_FIELD_TYPES = {"u4": 6, "f4": 7}  # sensor_msgs/PointField UINT32 and FLOAT32
_LITTLE_ENDIAN_CDR = bytes([0, 1, 0, 0])  # four bytes, so what is a multiple of 4 in the message is one here


def image_bytes(header: Any, pixels: NDArray[np.uint8], encoding: str) -> bytes:
    """A sensor_msgs/Image of pixels without row padding: (H, W) uint8 for mono8, (H, W, 3) for rgb8."""
    height, width = pixels.shape[:2]
    size = struct.pack("<II", height, width)
    is_bigendian = b"\0"
    begin = _padded(_header(header) + size + _string(encoding) + is_bigendian)
    return b"".join([begin, struct.pack("<II", pixels.nbytes // height, pixels.nbytes), _octets(pixels)])


def cloud_bytes(header: Any, points: NDArray[np.void], *, is_dense: bool) -> bytes:
    """A sensor_msgs/PointCloud2 of a structured array of little-endian numbers of four bytes: (H, W), or (N,) as a row.

    An empty one declares its fields too: readers look for x, y and z before they look at the size.
    """
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    size = struct.pack("<II", height, width)
    is_bigendian = b"\0"
    begin = _padded(_header(header) + size + _fields(points.dtype) + is_bigendian)
    point_step = points.itemsize
    steps = struct.pack("<III", point_step, point_step * width, points.nbytes)
    return b"".join([begin, steps, _octets(points), bytes([is_dense])])


def _header(header: Any) -> bytes:
    """What a message with a std_msgs/Header begins with."""
    stamp = struct.pack("<iI", header.stamp.sec, header.stamp.nanosec)
    return _padded(_LITTLE_ENDIAN_CDR + stamp + _string(header.frame_id))


@functools.cache
def _fields(dtype: np.dtype[Any]) -> bytes:
    """A list of sensor_msgs/PointField."""
    fields = [struct.pack("<I", len(dtype.names or ()))]
    for name in dtype.names or ():
        kind, offset = dtype.fields[name][:2]  # type: ignore[index]
        datatype = _POINT_FIELD_TYPES[kind.str[1:]]
        fields.append(_padded(_string(name)) + struct.pack("<IBxxxI", offset, datatype, 1))
    return b"".join(fields)


def _string(text: str) -> bytes:
    octets = text.encode() + b"\0"
    return struct.pack("<I", len(octets)) + octets


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _octets(values: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
