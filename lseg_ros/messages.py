"""Conversion between sensor_msgs and numpy arrays.

Messages are duck-typed: those of rclpy and of rosbags both work. The ``fill_*`` functions write into a message that the
caller creates. No function keeps a message; arrays may be views of its data. ``cdr`` serializes the messages that are
published for every frame.
"""

from __future__ import annotations

import array
import functools
import logging
import re
import struct
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lseg_ros.image_data import MAX_MESSAGE_PIXELS, decode_samples, decode_unchanged, open_header, scale_to_8_bits
from lseg_ros.quoting import quote
from lseg_ros.rvl import decode_rvl
from lseg_ros.structures import Intrinsics

__all__ = [
    "camera_matrix",
    "cloud_to_xyz",
    "compressed_depth_to_meters",
    "compressed_to_rgb",
    "depth_to_meters",
    "fill_image",
    "fill_png",
    "image_to_rgb",
    "intrinsics_from_camera_info",
    "is_distorted",
    "meters_to_millimeters",
    "stamp_ns",
]

logger = logging.getLogger(__name__)

_BAYER = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
# encoding -> conversion of OpenCV, None for RGB. The names without a color order are those of OpenCV's matrices, which
# hold blue, green and red.
_CONVERSIONS = {
    **dict.fromkeys(("rgb8", "rgb16"), None),
    **dict.fromkeys(("bgr8", "bgr16", "8UC3", "16UC3"), cv2.COLOR_BGR2RGB),
    **dict.fromkeys(("rgba8", "rgba16"), cv2.COLOR_RGBA2RGB),
    **dict.fromkeys(("bgra8", "bgra16", "8UC4", "16UC4"), cv2.COLOR_BGRA2RGB),
    **dict.fromkeys(("mono8", "mono16", "8UC1"), cv2.COLOR_GRAY2RGB),
}
_CHANNELS = {None: 3, cv2.COLOR_BGR2RGB: 3, cv2.COLOR_RGBA2RGB: 4, cv2.COLOR_BGRA2RGB: 4, cv2.COLOR_GRAY2RGB: 1}
# encoding -> samples per pixel, bytes per sample (nv12 and nv21 have H/2 additional rows for the colors)
_COLOR_LAYOUTS = {
    **{name: (_CHANNELS[code], 2 if "16" in name else 1) for name, code in _CONVERSIONS.items()},
    **{f"{pattern}8": (1, 1) for pattern in _BAYER},
    **{f"{pattern}16": (1, 2) for pattern in _BAYER},
    "yuv422": (2, 1),
    "uyvy": (2, 1),  # the newer name of yuv422
    "yuv422_yuy2": (2, 1),
    "yuyv": (2, 1),  # the newer name of yuv422_yuy2
    "nv12": (1, 1),
    "nv21": (1, 1),
}
_DEPTH_LAYOUTS = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
_MAX_CLOUD_POINTS = 4_000_000
_POINT_FIELD_TYPES = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64
# The format that image_transport writes: the camera's encoding, the codec and the compressed encoding, for example
# "rgb8; jpeg compressed bgr8". The last part is empty if nothing was converted. Other drivers write "jpeg" or similar.
_COMPRESSED_FORMAT = re.compile(r"(\w+); *\w+ compressed *(\w*)")
# The format that compressed_depth_image_transport writes. Without a codec it is PNG, which older versions leave out.
_COMPRESSED_DEPTH_FORMAT = re.compile(r"(16UC1|32FC1); *compressedDepth *(png|rvl)?")
_DEPTH_HEADER = struct.Struct("<iff")  # format, and the parameters of 32FC1
_RVL_SIZE = struct.Struct("<II")  # width and height
# encodings of fill_image -> sample type, shape of a pixel
_WRITABLE: dict[str, tuple[str, tuple[int, ...]]] = {
    "mono8": ("u1", ()), "rgb8": ("u1", (3,)), "16UC1": ("u2", ()), "32FC1": ("f4", ()),
}  # fmt: skip


def image_to_rgb(msg: Any) -> NDArray[np.uint8]:
    """Convert a sensor_msgs/Image of any color encoding to RGB.

    16-bit samples are scaled to 8 bits: 65535 becomes 255.

    Returns:
        (H, W, 3) uint8; for rgb8 without row padding a view of the message.

    Raises:
        ValueError: The encoding is unknown, or the message is inconsistent.
    """
    if msg.encoding not in _COLOR_LAYOUTS:
        raise ValueError(f"encoding: expected one of {', '.join(_COLOR_LAYOUTS)}, got {quote(msg.encoding)}")
    channels, sample_bytes = _COLOR_LAYOUTS[msg.encoding]
    two_planes = msg.encoding.startswith("nv")
    if (msg.width % 2 and (two_planes or channels == 2)) or (msg.height % 2 and two_planes):
        raise ValueError(f"{_describe(msg)}: expected an even size, as this encoding requires")
    rows = msg.height * 3 // 2 if two_planes else msg.height
    pixels = _sample_view(msg, f"u{sample_bytes}", channels, rows)
    if sample_bytes == 2:
        pixels = scale_to_8_bits(pixels.astype(np.uint16))
    if msg.encoding not in _CONVERSIONS:
        return _decode_camera_samples(pixels, msg.encoding.replace("16", "8"))
    code = _CONVERSIONS[msg.encoding]
    pixels = np.ascontiguousarray(pixels)
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def compressed_to_rgb(msg: Any) -> NDArray[np.uint8]:
    """Decode a sensor_msgs/CompressedImage (JPEG, PNG, BMP, WebP, TIFF or PNM).

    16-bit samples are scaled to 8 bits: 65535 becomes 255. If the format says that the camera's RGB or Bayer samples
    were compressed without conversion, they are interpreted as such.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: The data cannot be decoded, or have more than 64 megapixels. The message names the format.
    """
    data, kind = np.frombuffer(msg.data, np.uint8).data, f"of format {quote(msg.format)}"
    open_header(data, "CompressedImage", MAX_MESSAGE_PIXELS, kind)
    match = _COMPRESSED_FORMAT.fullmatch(msg.format.strip())
    camera, compressed = match.groups() if match else ("", "")
    unconverted = compressed in ("", camera)
    mosaic = unconverted and camera.startswith(_BAYER)
    # An EXIF orientation is ignored, because depth and camera_info refer to the pixels as stored.
    flags = (cv2.IMREAD_GRAYSCALE if mosaic else cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = decode_samples(data, flags, "CompressedImage", kind)
    if mosaic:
        return _decode_camera_samples(pixels[..., None], camera.replace("16", "8"))
    if unconverted and camera.startswith("rgb"):  # OpenCV interpreted the samples as BGR when it wrote and read them
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def depth_to_meters(msg: Any) -> NDArray[np.float32]:
    """Convert a sensor_msgs/Image of depth to meters (REP 118, REP 117).

    In 16UC1 and mono16 (millimeters), 0 means unknown. In 32FC1 (meters), NaN, infinite and non-positive values mean
    unknown.

    Returns:
        (H, W) float32, NaN where unknown.

    Raises:
        ValueError: The encoding is unknown, or the message is inconsistent.
    """
    if msg.encoding not in _DEPTH_LAYOUTS:
        raise ValueError(f"encoding of depth: expected one of {', '.join(_DEPTH_LAYOUTS)}, got {quote(msg.encoding)}")
    raw = _sample_view(msg, _DEPTH_LAYOUTS[msg.encoding], 1, msg.height)[..., 0]
    depth_m = raw.astype(np.float32)  # always a copy, in native byte order
    if raw.dtype.kind == "u":
        depth_m *= np.float32(0.001)
    depth_m[~((depth_m > 0) & (depth_m < np.inf))] = np.nan
    return depth_m


def compressed_depth_to_meters(msg: Any) -> NDArray[np.float32]:
    """Decode a sensor_msgs/CompressedImage of compressed_depth_image_transport, PNG or RVL.

    16UC1 is lossless. 32FC1 was stored as 16 bits of inverse depth, with two parameters in the header of the data.

    Returns:
        (H, W) float32, NaN where unknown.

    Raises:
        ValueError: The format is another one, or the data cannot be decoded or have more than 64 megapixels.
    """
    match = _COMPRESSED_DEPTH_FORMAT.fullmatch(msg.format.strip())
    if match is None:
        expected = "16UC1 or 32FC1; compressedDepth png or rvl"
        raise ValueError(f"format of compressed depth: expected {expected}, got {quote(msg.format)}")
    data = np.frombuffer(msg.data, np.uint8).data
    if len(data) < _DEPTH_HEADER.size:
        raise ValueError(f"compressed depth: expected a header of {_DEPTH_HEADER.size} bytes, got {len(data)} bytes")
    _, scale, offset = _DEPTH_HEADER.unpack_from(data)
    decode = _decode_rvl_image if match[2] == "rvl" else _decode_png_depth
    raw = decode(data[_DEPTH_HEADER.size :])
    depth_m = raw.astype(np.float32)
    if match[1] == "16UC1":
        depth_m *= np.float32(0.001)
    else:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            depth_m = np.float32(scale) / (depth_m - np.float32(offset))
    depth_m[(raw == 0) | ~((depth_m > 0) & (depth_m < np.inf))] = np.nan
    return depth_m


def _decode_png_depth(data: memoryview) -> NDArray[np.uint16]:
    open_header(data, "compressed depth", MAX_MESSAGE_PIXELS)
    pixels = decode_unchanged(data, cv2.IMREAD_UNCHANGED, "compressed depth")
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ValueError(f"compressed depth: expected one channel of 16 bits, got {pixels.shape} {pixels.dtype}")
    return pixels


def _decode_rvl_image(data: memoryview) -> NDArray[np.uint16]:
    width, height = _RVL_SIZE.unpack_from(data) if len(data) >= _RVL_SIZE.size else (0, 0)
    if not 0 < width * height <= MAX_MESSAGE_PIXELS:
        limit = f"{MAX_MESSAGE_PIXELS / 1e6:g} megapixels"
        raise ValueError(f"compressed depth: expected an image of at most {limit}, got {width}x{height} pixels")
    return decode_rvl(data[_RVL_SIZE.size :], width * height).reshape(height, width)


def meters_to_millimeters(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Convert depth from meters to the millimeters of 16UC1 (REP 118).

    Args:
        depth_m: (H, W) float32, NaN or infinite where unknown.

    Returns:
        (H, W) uint16, rounded, 0 where unknown and at most 65535.
    """
    known = np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(known * 1000).clip(0, 65535).astype(np.uint16)


def cloud_to_xyz(msg: Any) -> NDArray[np.float32]:
    """Read the coordinates of a sensor_msgs/PointCloud2 of any layout.

    Returns:
        (N, 3) float32 meters in row order, not finite where the sensor has no return.

    Raises:
        ValueError: x, y or z is missing or not a floating-point number, the message is inconsistent, or it has more
            than 4 million points.
    """
    height, width, step = msg.height, msg.width, msg.point_step
    if height * width > _MAX_CLOUD_POINTS:
        raise ValueError(f"cloud: expected at most {_MAX_CLOUD_POINTS} points, got {height * width}")
    fields = {field.name: field for field in msg.fields}
    if missing := [axis for axis in "xyz" if axis not in fields]:
        names = ", ".join(map(quote, fields)) or "none"
        raise ValueError(f"cloud: expected the fields x, y and z, got no {' and no '.join(missing)} among {names}")
    row_step = msg.row_step if height > 1 else width * step
    data = np.frombuffer(msg.data, np.uint8)
    if row_step < width * step or data.size < row_step * height:
        raise ValueError(
            f"cloud: expected {height} rows of {width} points of {step} bytes, "
            f"got rows of {row_step} bytes and {data.size} bytes in total"
        )
    xyz = np.empty((height, width, 3), np.float32)
    for index, axis in enumerate("xyz"):
        field = fields[axis]
        kind = _POINT_FIELD_TYPES.get(field.datatype, "")
        if not kind or field.count > 1:
            raise ValueError(f"cloud: expected one FLOAT32 or FLOAT64 as {axis}, got {field.count} of {field.datatype}")
        dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
        if field.offset + dtype.itemsize > step:
            raise ValueError(f"cloud: expected {axis} within the {step} bytes of a point, got offset {field.offset}")
        if xyz.size:
            with np.errstate(over="ignore", invalid="ignore"):  # a float64 may exceed float32
                xyz[..., index] = np.ndarray((height, width), dtype, data, field.offset, (row_step, step))
    return xyz.reshape(-1, 3)


def camera_matrix(camera_info: Any) -> str:
    """Choose the matrix of a sensor_msgs/CameraInfo that describes the image.

    It is K. If the lens has distortion, the image is assumed to be rectified, and P describes it: image_proc publishes
    rectified images together with the camera_info of the raw image. Drivers of rectified images may leave one of the
    two at 0; then it is the other one.

    Returns:
        ``"k"`` or ``"p"``, or ``""`` if the camera is not calibrated (K[0] and P[0] are 0).
    """
    has_k, has_p = camera_info.k[0] != 0, camera_info.p[0] != 0
    if has_p and (is_distorted(camera_info) or not has_k):
        return "p"
    return "k" if has_k else ""


def intrinsics_from_camera_info(camera_info: Any) -> Intrinsics | None:
    """Return the pinhole camera of a sensor_msgs/CameraInfo.

    The matrix is that of ``camera_matrix``, adapted to binning and region of interest.

    Returns:
        The intrinsics, or None if the camera is not calibrated (K[0] and P[0] are 0).

    Raises:
        ValueError: The matrix is not a pinhole camera.
    """
    name = camera_matrix(camera_info)
    if not name:
        return None
    matrix = np.asarray(getattr(camera_info, name), np.float64).reshape(3, -1)
    (fx, fy), (cx, cy) = matrix.diagonal()[:2].tolist(), matrix[:2, 2].tolist()
    if not np.isfinite((fx, fy, cx, cy)).all():
        raise ValueError(f"CameraInfo.{name}: expected finite numbers, got {matrix.tolist()}")
    roi = camera_info.roi
    across, down = max(camera_info.binning_x, 1), max(camera_info.binning_y, 1)
    return Intrinsics(
        fx=fx / across,
        fy=fy / down,
        cx=(cx - roi.x_offset) / across,
        cy=(cy - roi.y_offset) / down,
        width=(roi.width or camera_info.width) // across,
        height=(roi.height or camera_info.height) // down,
    )


def is_distorted(camera_info: Any) -> bool:
    """Return whether any distortion coefficient of a sensor_msgs/CameraInfo is not 0."""
    return any(coefficient != 0 for coefficient in camera_info.d)


def stamp_ns(header: Any) -> int:
    """Return the stamp of a std_msgs/Header in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def fill_image(msg: Any, pixels: NDArray[Any], encoding: str) -> None:
    """Write pixels into a sensor_msgs/Image without row padding. The header is not changed.

    Args:
        msg: The message.
        pixels: (H, W) uint8 for mono8, uint16 for 16UC1, float32 for 32FC1, or (H, W, 3) uint8 for rgb8.
        encoding: One of the encodings above.

    Raises:
        ValueError: The pixels do not have the shape and dtype of the encoding.
    """
    kind, trailing = _WRITABLE.get(encoding, ("", ()))
    if pixels.dtype.str[1:] != kind or pixels.shape != (*pixels.shape[:2], *trailing):
        expected = ", ".join(_WRITABLE)
        raise ValueError(f"pixels: expected those of {expected}, got {pixels.shape} {pixels.dtype} for {encoding!r}")
    msg.height, msg.width = pixels.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == "big" and pixels.itemsize > 1)
    msg.step = pixels.nbytes // msg.height
    _write_data(msg, pixels)


def fill_png(msg: Any, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W) uint8 pixels as PNG into a sensor_msgs/CompressedImage.

    The header is not changed.
    """
    # Level 1 is the fastest; label ids compress well at any level.
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    msg.format = "mono8; png compressed"  # the format that image_transport's subscribers expect
    _write_data(msg, png)


def _write_data(msg: Any, values: NDArray[Any]) -> None:
    """Copy the bytes of an array into ``msg.data``, in the container type of the message."""
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    if isinstance(msg.data, array.array):  # rclpy checks and copies other containers element by element
        data = array.array("B")
        data.frombytes(octets.data)
        msg.data = data
    else:  # rosbags
        msg.data = octets.copy()


def _sample_view(msg: Any, kind: DTypeLike, channels: int, rows: int) -> NDArray[Any]:
    """Return the samples of a message as a (rows, width, channels) view without row padding.

    Raises:
        ValueError: The message is inconsistent.
    """
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    width, step, pixel_bytes = msg.width, msg.step, channels * dtype.itemsize
    if not (msg.height > 0 and width > 0):
        raise ValueError(f"{_describe(msg)}: expected a size of at least one pixel")
    if step < width * pixel_bytes:
        raise ValueError(f"{_describe(msg)}: expected a step of at least {width * pixel_bytes} bytes, got {step}")
    data = np.frombuffer(msg.data, np.uint8)
    if data.size < step * rows:
        raise ValueError(f"{_describe(msg)}: expected {step * rows} bytes of data, got {data.size}")
    return np.ndarray((rows, width, channels), dtype, data, strides=(step, pixel_bytes, dtype.itemsize))


def _describe(msg: Any) -> str:
    return f"Image {msg.encoding} of {msg.width}x{msg.height}"


def _decode_camera_samples(samples: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """Convert a Bayer or YUV image of (rows, W, channels) uint8 to (H, W, 3) uint8 RGB."""
    rows, width, channels = samples.shape
    plain = SimpleNamespace(
        encoding=encoding,
        height=rows,  # includes the color rows of nv12 and nv21, as OpenCV expects
        width=width,
        step=width * channels,
        is_bigendian=sys.byteorder != "little",
        data=np.ascontiguousarray(samples).reshape(-1),
    )
    return np.asarray(_decoder(encoding)(plain, "rgb8"), np.uint8)


@functools.cache
def _decoder(encoding: str) -> Callable[[Any, str], Any]:
    """Return the decoder of an encoding: cv_bridge if it works, otherwise rosbags-image.

    Both are tried once on a small image.
    """
    from rosbags.image import image_to_cvimage as rosbags_decode

    decode: Callable[[Any, str], Any] = rosbags_decode  # annotated with a class, but uses only the attributes
    trial = SimpleNamespace(encoding=encoding, height=6, width=8, is_bigendian=sys.byteorder != "little")
    trial.step = 16 if "yuv" in encoding or "uy" in encoding else 8
    trial.data = np.arange(trial.step * trial.height, dtype=np.uint8)
    expected = decode(trial, "rgb8")
    try:
        from cv_bridge import CvBridge

        bridge_decode: Callable[[Any, str], Any] = CvBridge().imgmsg_to_cv2
        if np.array_equal(bridge_decode(trial, "rgb8"), expected):
            return bridge_decode
        reason = "it decodes differently"
    except (ImportError, AttributeError, SystemError, RuntimeError, TypeError, ValueError, cv2.error) as error:
        # Not installed, built for another NumPy, or without this encoding.
        reason = str(error)
    logger.debug("%s is decoded by rosbags-image, not by cv_bridge: %s", encoding, reason)
    return decode
