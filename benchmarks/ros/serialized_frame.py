"""An RGB-D frame of the synthetic world as serialized messages.

Publishing serialized messages costs almost nothing.
"""

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

__all__ = ["SerializedFrame", "serialize_frame", "with_stamp"]

FRAME_ID = "camera_optical_frame"


@dataclass(frozen=True, eq=False)
class SerializedFrame:
    """The messages of one frame as CDR bytes, all with stamp 0, and its ground truth.

    Attributes:
        image: sensor_msgs/Image, rgb8.
        depth: sensor_msgs/Image, 16UC1.
        info: sensor_msgs/CameraInfo.
        labels: (H, W) uint8 ground-truth class ids.
    """

    image: bytes
    depth: bytes
    info: bytes
    labels: NDArray[np.uint8]


def serialize_frame(height: int, width: int) -> SerializedFrame:
    """Render and serialize a frame."""
    scene = SyntheticWorld(8, width, height).frame(1.0)
    frame = scene.frame
    assert frame.depth_m is not None and frame.intrinsics is not None  # the synthetic world provides both
    header = make_header(0, FRAME_ID)
    image, depth = Image(header=header), Image(header=header)
    fill_image(image, frame.image, "rgb8")
    fill_image(depth, meters_to_millimeters(frame.depth_m), "16UC1")
    info: CameraInfo = camera_info_from_intrinsics(frame.intrinsics)
    info.header = header
    return SerializedFrame(serialize_message(image), serialize_message(depth), serialize_message(info), scene.labels)


def with_stamp(data: bytes, stamp_ns: int) -> bytes:
    """Replace the stamp of a serialized message that starts with a header.

    See ``read_stamp_ns`` for the layout.
    """
    changed = bytearray(data)
    struct.pack_into("<iI" if data[1] & 1 else ">iI", changed, 4, *divmod(stamp_ns, 1_000_000_000))
    return bytes(changed)
