"""Messages of one moment -> a Frame."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from lseg_ros.messages import compressed_to_rgb, depth_to_metres, image_to_rgb, intrinsics_of, stamp_ns
from lseg_ros.pipeline import sample_depth
from lseg_ros.ros.topics import DEPTH, INFO, Topic
from lseg_ros.structures import Frame

__all__ = ["Assembled", "assemble", "with_depth"]


class Assembled(NamedTuple):
    """frame: without depth or intrinsics where those could not be used. problems: why, a sentence by input."""

    frame: Frame
    problems: dict[Topic, str]


def assemble(image: Any, depth: Any | None, camera_info: Any | None) -> Assembled:
    """An Image or CompressedImage with its depth Image and CameraInfo, or None for those that are missing.

    Raises ValueError where the image itself cannot be read; an unusable depth or CameraInfo only costs the clouds.
    """
    rgb = image_to_rgb(image) if hasattr(image, "encoding") else compressed_to_rgb(image)
    frame = Frame(rgb, stamp_ns=stamp_ns(image.header), frame_id=image.header.frame_id)
    problems: dict[Topic, str] = {}
    if camera_info is not None:
        try:
            frame = _with_intrinsics(frame, camera_info)
        except ValueError as error:
            problems[INFO] = str(error)
    if depth is not None:
        try:
            frame = with_depth(frame, depth)
        except ValueError as error:
            problems[DEPTH] = str(error)
    return Assembled(frame, problems)


def _with_intrinsics(frame: Frame, camera_info: Any) -> Frame:
    intrinsics = intrinsics_of(camera_info)
    if intrinsics is None:
        raise ValueError("no clouds: the camera_info is of an uncalibrated camera (K[0] = 0)")
    return dataclasses.replace(frame, intrinsics=intrinsics)


def with_depth(frame: Frame, depth: Any) -> Frame:
    """A frame and the depth Image that belongs to it. Raises ValueError where that cannot be used."""
    if depth.header.frame_id != frame.frame_id:
        raise ValueError(
            f"no clouds: depth has to be registered to the image, expected its frame_id {frame.frame_id!r}, "
            f"got {depth.header.frame_id!r}"
        )
    return dataclasses.replace(frame, depth_m=sample_depth(depth_to_metres(depth), frame.size))
