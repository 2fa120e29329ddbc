"""Depth of another camera in a bag."""

from __future__ import annotations

from typing import Any

from lseg_ros.assembly import DepthCamera
from lseg_ros.bags.poses import TF_TYPE, BagPoses
from lseg_ros.bags.reader import Bag
from lseg_ros.messages import intrinsics_from_camera_info, stamp_ns
from lseg_ros.transforms import parse_pose

__all__ = ["DepthRegistration"]


class DepthRegistration:
    """Finds the camera of depth that is not registered to the image.

    The node does the same with ``register_depth``.

    Args:
        bag: The bag.
        topic: Topic of the camera_info of the depth camera. Its first message applies to all frames.
        extrinsics: Pose of the depth camera in the optical frame of the image, "x y z qx qy qz qw" in meters; "" for
            the tf in the bag. Then the frames must be requested in the order of recording.

    Raises:
        ValueError: If the bag has no calibration of the depth camera or no tf, or the pose is malformed.
    """

    def __init__(self, bag: Bag, topic: str, extrinsics: str) -> None:
        self._bag = bag
        self._pose = parse_pose(extrinsics, "depth_extrinsics") if extrinsics else None
        self._poses: BagPoses | None = None
        message = next(bag.messages([topic]), None)
        info = None if message is None else bag.deserialize(topic, message.data)
        intrinsics = None if info is None else intrinsics_from_camera_info(info)
        if intrinsics is None:
            got = "no message" if info is None else "K[0] = 0 and P[0] = 0"
            raise ValueError(f"depth_camera_info: expected a calibrated camera on {topic} in {bag.path}, got {got}")
        if not extrinsics and not any(topic.type == TF_TYPE for topic in bag.topics.values()):
            raise ValueError(f"depth_extrinsics: expected a pose, because {bag.path} has no tf, got none")
        self._intrinsics = intrinsics

    def find(self, image: Any, depth: Any, log_ns: int) -> DepthCamera:
        """Return the depth camera of a frame.

        Args:
            image: The image message.
            depth: The depth message.
            log_ns: Time at which the image was recorded, in nanoseconds.

        Raises:
            ValueError: If its pose is not known. The message says why.
        """
        if self._pose is not None:
            return DepthCamera(self._intrinsics, self._pose)
        self._poses = self._poses or BagPoses(self._bag.path, image.header.frame_id)
        pose = self._poses.pose(depth.header.frame_id, stamp_ns(image.header), log_ns)
        return DepthCamera(self._intrinsics, pose)

    def close(self) -> None:
        """Close the tf."""
        if self._poses is not None:
            self._poses.close()
