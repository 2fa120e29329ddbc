"""An RGB-D frame of the synthetic world as a camera would send it, serialized: sending costs next to nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from lseg_ros.messages import fill_image, meters_to_millimeters
from lseg_ros.ros.conversions import camera_info_from_intrinsics, make_header
from lseg_ros.synthetic import SyntheticWorld

__all__ = ["Recorded", "record", "stamped"]

FRAME_ID = "camera_optical_frame"


@dataclass(frozen=True, eq=False)
class Recorded:
    """image, depth, info: CDR bytes of rgb8, 16UC1 and CameraInfo, all with stamp 0. labels: (H, W) uint8, exact."""

    image: bytes
    depth: bytes
    info: bytes
    labels: NDArray[np.uint8]


def record(height: int, width: int) -> Recorded:
    """A frame of so many pixels."""
    seen = SyntheticWorld(8, width, height).frame(1.0)
    frame = seen.frame
    assert frame.depth_m is not None and frame.intrinsics is not None  # this world has both
    header = make_header(0, FRAME_ID)
    image, depth = Image(header=header), Image(header=header)
    fill_image(image, frame.image, "rgb8")
    fill_image(depth, meters_to_millimeters(frame.depth_m), "16UC1")
    info: CameraInfo = camera_info_from_intrinsics(frame.intrinsics)
    info.header = header
    return Recorded(serialize_message(image), serialize_message(depth), serialize_message(info), seen.labels)


def stamped(data: bytes, stamp_ns: int) -> bytes:
    """The same message with another stamp; see ``read_stamp_ns`` for where that is."""
    changed = bytearray(data)
    struct.pack_into("<iI" if data[1] & 1 else ">iI", changed, 4, *divmod(stamp_ns, 1_000_000_000))
    return bytes(changed)
