"""sensor_msgs memory layout <-> numpy.

Messages are duck-typed: rclpy's and rosbags' both work. To fill one, make it first and pass it in. No function keeps a
message; arrays that come from one may be views of its data. What goes out in every frame is never made a message: see
``serialization``.
"""

from __future__ import annotations

import array
import functools
import logging
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lseg_ros.structures import Intrinsics

__all__ = [
    "compressed_to_rgb",
    "depth_to_meters",
    "fill_image",
    "fill_png",
    "image_to_rgb",
    "intrinsics_from_camera_info",
    "is_distorted",
    "stamp_ns",
]

logger = logging.getLogger(__name__)

_BAYER = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
# encoding -> samples per pixel, bytes per sample (nv12 and nv21 also have half as many rows again, with the colors)
_COLOR_LAYOUTS = {
    "mono8": (1, 1),
    "mono16": (1, 2),
    "rgb8": (3, 1),
    "bgr8": (3, 1),
    "rgba8": (4, 1),
    "bgra8": (4, 1),
    **{f"{pattern}8": (1, 1) for pattern in _BAYER},
    **{f"{pattern}16": (1, 2) for pattern in _BAYER},
    "yuv422": (2, 1),
    "uyvy": (2, 1),  # the newer name of yuv422
    "yuv422_yuy2": (2, 1),
    "yuyv": (2, 1),  # the newer name of yuv422_yuy2
    "nv12": (1, 1),
    "nv21": (1, 1),
}
_DEPTH_LAYOUTS = {"16UC1": "u2", "32FC1": "f4"}
# What image_transport writes: the camera's encoding, the codec, and the encoding that was compressed, such as
# "rgb8; jpeg compressed bgr8"; the last is empty where nothing was converted. Other drivers write "jpeg" or the like.
_COMPRESSED_FORMAT = re.compile(r"(\w+); *\w+ compressed *(\w*)")
# encoding that we write -> kind of number, shape of a pixel
_WRITABLE: dict[str, tuple[str, tuple[int, ...]]] = {
    "mono8": ("u1", ()), "rgb8": ("u1", (3,)), "16UC1": ("u2", ()), "32FC1": ("f4", ()),
}  # fmt: skip


def image_to_rgb(msg: Any) -> NDArray[np.uint8]:
    """sensor_msgs/Image of any color encoding -> (H, W, 3) uint8 RGB.

    16-bit samples keep their high byte. rgb8 without row padding is a view of the message. Raises ValueError naming
    the encoding that is not known, or what about the message is broken.
    """
    if msg.encoding not in _COLOR_LAYOUTS:
        raise ValueError(f"encoding: expected one of {', '.join(_COLOR_LAYOUTS)}, got {msg.encoding!r}")
    channels, sample_bytes = _COLOR_LAYOUTS[msg.encoding]
    two_planes = msg.encoding.startswith("nv")
    if (msg.width % 2 and (two_planes or channels == 2)) or (msg.height % 2 and two_planes):
        raise ValueError(f"{_describe(msg)}: expected a size that this encoding can halve")
    rows = msg.height * 3 // 2 if two_planes else msg.height
    pixels = _sample_view(msg, "u1", channels * sample_bytes, rows)
    if sample_bytes == 2:
        pixels = pixels[..., 0:1] if msg.is_bigendian else pixels[..., 1:2]
    if msg.encoding == "rgb8":
        return np.ascontiguousarray(pixels)
    code = {"bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB}.get(msg.encoding)
    if msg.encoding in ("mono8", "mono16"):
        code = cv2.COLOR_GRAY2RGB
    if code is not None:
        return _u8(cv2.cvtColor(np.ascontiguousarray(pixels), code))
    return _decode_camera_samples(pixels, msg.encoding.replace("16", "8"))


def compressed_to_rgb(msg: Any) -> NDArray[np.uint8]:
    """sensor_msgs/CompressedImage (jpeg, png and what else OpenCV reads) -> (H, W, 3) uint8 RGB.

    16-bit samples keep their high byte. Where the format says that a camera's rgb or Bayer samples were compressed as
    they are, they are read as such. Raises ValueError naming the format where the data cannot be decoded.
    """
    data = np.frombuffer(msg.data, np.uint8)
    known = _COMPRESSED_FORMAT.fullmatch(msg.format.strip())
    camera, compressed = known.groups() if known else ("", "")
    as_sent = compressed in ("", camera)
    mosaic = as_sent and camera.startswith(_BAYER)
    flags = cv2.IMREAD_GRAYSCALE if mosaic else cv2.IMREAD_COLOR
    try:  # a camera's pixels as they are: no turning by what the file says of the photographer's hands
        pixels = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ValueError(f"CompressedImage: expected an image, got {data.size} bytes of format {msg.format!r}")
    if mosaic:
        return _decode_camera_samples(_u8(pixels)[..., None], camera.replace("16", "8"))
    if as_sent and camera.startswith("rgb"):  # OpenCV took them for blue, green, red, twice
        return _u8(pixels)
    return _u8(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def depth_to_meters(msg: Any) -> NDArray[np.float32]:
    """sensor_msgs/Image of depth -> (H, W) float32 meters, NaN where unknown (REP 118, REP 117).

    16UC1 is millimeters with 0 for unknown; 32FC1 is meters, unknown where NaN, infinite or not positive. Raises
    ValueError like ``image_to_rgb``.
    """
    if msg.encoding not in _DEPTH_LAYOUTS:
        raise ValueError(f"encoding of depth: expected one of {', '.join(_DEPTH_LAYOUTS)}, got {msg.encoding!r}")
    raw = _sample_view(msg, _DEPTH_LAYOUTS[msg.encoding], 1, msg.height)[..., 0]
    depth_m = raw.astype(np.float32)  # always a copy, in this machine's byte order
    if msg.encoding == "16UC1":
        depth_m *= np.float32(0.001)
    depth_m[~((depth_m > 0) & (depth_m < np.inf))] = np.nan
    return depth_m


def intrinsics_from_camera_info(camera_info: Any) -> Intrinsics | None:
    """The pinhole of a sensor_msgs/CameraInfo, for the image as binning and region of interest left it.

    It is K. Of a lens with distortion the image is taken to be rectified, and it is P, where P is there: what
    image_proc publishes comes with the camera_info of the raw image. None where the camera is not calibrated
    (K[0] = 0). Raises ValueError where the matrix is no pinhole.
    """
    if camera_info.k[0] == 0:
        return None
    rectified = is_distorted(camera_info) and camera_info.p[0] != 0
    name, columns = ("p", 4) if rectified else ("k", 3)
    matrix = np.asarray(getattr(camera_info, name), np.float64).reshape(3, columns)
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
    """Whether a sensor_msgs/CameraInfo tells of a lens that is no pinhole: any coefficient of its model is not 0."""
    return any(coefficient != 0 for coefficient in camera_info.d)


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def fill_image(msg: Any, pixels: NDArray[Any], encoding: str) -> None:
    """Write pixels into a sensor_msgs/Image, without row padding; leaves the header.

    pixels: (H, W) uint8 for mono8, uint16 for 16UC1, float32 for 32FC1, or (H, W, 3) uint8 for rgb8. Raises ValueError
    for any others.
    """
    kind, trailing = _WRITABLE.get(encoding, ("", ()))
    if pixels.dtype.str[1:] != kind or pixels.shape != (*pixels.shape[:2], *trailing):
        known = ", ".join(_WRITABLE)
        raise ValueError(f"pixels: expected those of {known}, got {pixels.shape} {pixels.dtype} for {encoding!r}")
    msg.height, msg.width = pixels.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == "big" and pixels.itemsize > 1)
    msg.step = pixels.nbytes // msg.height
    _write_data(msg, pixels)


def fill_png(msg: Any, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W) mono8 pixels into a sensor_msgs/CompressedImage as PNG, without loss; leaves the header."""
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])  # quick; ids compress well all the same
    msg.format = "mono8; png compressed"  # as image_transport's readers want it
    _write_data(msg, png)


def _write_data(msg: Any, values: NDArray[Any]) -> None:
    """Copy an array's bytes into ``msg.data``, kept the kind of container that it is."""
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    if isinstance(msg.data, array.array):  # rclpy: anything else would be checked and copied number by number
        data = array.array("B")
        data.frombytes(octets.data)
        msg.data = data
    else:  # rosbags
        msg.data = octets.copy()


def _sample_view(msg: Any, kind: DTypeLike, channels: int, rows: int) -> NDArray[Any]:
    """The message's samples as a (rows, width, channels) view that skips the row padding; ValueError where broken."""
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
    """Bayer mosaics and YUV, as (rows, W, channels) uint8 without padding, -> (H, W, 3) uint8 RGB."""
    rows, width, channels = samples.shape
    plain = SimpleNamespace(
        encoding=encoding,
        height=rows,  # of nv12 and nv21 too, which is how OpenCV counts
        width=width,
        step=width * channels,
        is_bigendian=sys.byteorder != "little",
        data=np.ascontiguousarray(samples).reshape(-1),
    )
    return _u8(_decoder(encoding)(plain, "rgb8"))


@functools.cache
def _decoder(encoding: str) -> Callable[[Any, str], Any]:
    """cv_bridge where it imports and knows the encoding, rosbags-image otherwise; tried once, on a small image."""
    from rosbags.image import image_to_cvimage as rosbags_decode

    decode: Callable[[Any, str], Any] = rosbags_decode  # its type asks for a class, its code for attributes
    trial = SimpleNamespace(encoding=encoding, height=6, width=8, is_bigendian=sys.byteorder != "little")
    trial.step = 16 if "yuv" in encoding or "uy" in encoding else 8
    trial.data = np.arange(trial.step * trial.height, dtype=np.uint8)
    expected = decode(trial, "rgb8")
    try:
        from cv_bridge import CvBridge

        bridge_decode: Callable[[Any, str], Any] = CvBridge().imgmsg_to_cv2
        if np.array_equal(bridge_decode(trial, "rgb8"), expected):
            return bridge_decode
        reason = "it decodes to something else"
    except (ImportError, AttributeError, SystemError, RuntimeError, TypeError, ValueError, cv2.error) as error:
        # not there, built for another NumPy, without this encoding: all the same here
        reason = str(error)
    logger.debug("%s is decoded by rosbags-image, not by cv_bridge: %s", encoding, reason)
    return decode


def _u8(values: Any) -> NDArray[np.uint8]:
    """OpenCV's results have no precise type."""
    return np.asarray(values, np.uint8)
