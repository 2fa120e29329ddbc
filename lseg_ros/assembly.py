"""Build frames from the messages of a camera.

Messages are duck-typed, as in ``messages``: those of rclpy and those of recordings both work.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import register_depth, sample_depth
from lseg_ros.messages import (
    compressed_depth_to_meters,
    compressed_to_rgb,
    depth_to_meters,
    image_to_rgb,
    intrinsics_from_camera_info,
    stamp_ns,
)
from lseg_ros.quoting import quote
from lseg_ros.structures import Frame, Intrinsics

__all__ = ["Assembled", "DepthCamera", "assemble", "with_depth"]


class DepthCamera(NamedTuple):
    """The camera of depth that is not registered to the image.

    Attributes:
        intrinsics: Intrinsics of the depth image.
        to_image: (4, 4) float64, maps its points to the optical frame of the image.
    """

    intrinsics: Intrinsics
    to_image: NDArray[np.float64]


class Assembled(NamedTuple):
    """Result of ``assemble``.

    Attributes:
        frame: The frame, without depth or intrinsics if those cannot be used.
        problems: For each input that cannot be used, "depth" or "camera_info", the reason.
    """

    frame: Frame
    problems: dict[str, str]


def assemble(
    image: Any, depth: Any | None, camera_info: Any | None, depth_camera: DepthCamera | None = None
) -> Assembled:
    """Build a frame from the messages of one camera.

    If depth or camera_info cannot be used, the frame has no clouds, but it is still segmented.

    Args:
        image: sensor_msgs/Image or CompressedImage.
        depth: sensor_msgs/Image or CompressedImage of depth, or None.
        camera_info: sensor_msgs/CameraInfo, or None.
        depth_camera: The camera of depth that is not registered to the image. None if it is registered.

    Raises:
        ValueError: If the image cannot be read.
    """
    rgb = image_to_rgb(image) if hasattr(image, "encoding") else compressed_to_rgb(image)
    frame = Frame(rgb, stamp_ns=stamp_ns(image.header), frame_id=image.header.frame_id)
    problems: dict[str, str] = {}
    if camera_info is not None:
        try:
            frame = _with_intrinsics(frame, camera_info)
        except ValueError as error:
            problems["camera_info"] = str(error)
    if depth is not None:
        try:
            frame = with_depth(frame, depth, depth_camera)
        except ValueError as error:
            problems["depth"] = str(error)
    return Assembled(frame, problems)


def _with_intrinsics(frame: Frame, camera_info: Any) -> Frame:
    intrinsics = intrinsics_from_camera_info(camera_info)
    if intrinsics is None:
        raise ValueError("no clouds: the camera is not calibrated (K[0] = 0 and P[0] = 0 in camera_info)")
    return dataclasses.replace(frame, intrinsics=intrinsics)


def with_depth(frame: Frame, depth: Any, depth_camera: DepthCamera | None = None) -> Frame:
    """Add depth to a frame.

    Args:
        frame: The frame of an image.
        depth: sensor_msgs/Image of depth, or sensor_msgs/CompressedImage of compressedDepth.
        depth_camera: The camera of depth that is not registered to the image. None if it is registered.

    Raises:
        ValueError: If the depth cannot be read, or is not registered to the image and cannot be registered.
    """
    read = depth_to_meters if hasattr(depth, "encoding") else compressed_depth_to_meters
    if depth_camera is not None:
        if frame.intrinsics is None:
            raise ValueError("no clouds: registering depth needs the camera_info of the image")
        depth_m = register_depth(read(depth), depth_camera.intrinsics, depth_camera.to_image, frame.intrinsics)
        return dataclasses.replace(frame, depth_m=depth_m)
    if depth.header.frame_id != frame.frame_id:
        raise ValueError(
            "no clouds: depth must be registered to the image, "
            f"expected the image's frame_id {quote(frame.frame_id)}, got {quote(depth.header.frame_id)}; "
            "register_depth registers it"
        )
    return dataclasses.replace(frame, depth_m=sample_depth(read(depth), frame.size))
