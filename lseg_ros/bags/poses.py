"""The poses of a camera in a bag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.bags.reader import Bag, BagMessage
from lseg_ros.structures import StampedTransform
from lseg_ros.transforms import TransformBuffer

__all__ = ["TF_TYPE", "BagPoses"]

TF_TYPE = "tf2_msgs/msg/TFMessage"
_POSES = ("geometry_msgs/msg/PoseStamped", "nav_msgs/msg/Odometry")
_STATIC = "/tf_static"
_BODY = "body"  # frame of the poses of a topic in our buffer
_AHEAD_NS = 1_000_000_000  # how long after an image its pose may be recorded


class BagPoses:
    """Poses from tf, or from a topic of odometry or poses.

    The bag is read once from start to end, so poses must be requested in the order of recording.

    Args:
        path: See ``Bag``.
        map_frame: Frame in which the poses are given.
        source: "tf", or the topic of nav_msgs/Odometry or geometry_msgs/PoseStamped messages.
        camera_pose: (4, 4) pose of the camera's optical frame in the frame that the topic describes; None if that is
            the optical frame.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the bag is damaged or has no such messages.
    """

    def __init__(
        self, path: str | Path, map_frame: str, source: str = "tf", camera_pose: NDArray[np.float64] | None = None
    ) -> None:
        self._bag = Bag(path)  # another reader, because the frames are read at the same time
        self._map_frame = map_frame
        self._uses_tf = source == "tf"
        self._camera_pose = np.eye(4) if camera_pose is None else camera_pose
        self._buffer = TransformBuffer()
        topics = self._bag.topics
        wanted = {name for name, topic in topics.items() if topic.type == TF_TYPE} if self._uses_tf else {source}
        if not wanted or (not self._uses_tf and getattr(topics.get(source), "type", "") not in _POSES):
            kind = f"topic of {TF_TYPE}" if self._uses_tf else f"{source} of {' or '.join(_POSES)}"
            listed = ", ".join(f"{name} ({topic.type})" for name, topic in sorted(topics.items()))
            raise ValueError(f"{self._bag.path}: expected the {kind} for the poses, got {listed}")
        for message in self._bag.messages(wanted & {_STATIC}):  # valid at all times, also before they were recorded
            self._add(message)
        self._messages: Iterator[BagMessage] = self._bag.messages(wanted - {_STATIC})
        self._next = next(self._messages, None)

    def pose(self, frame_id: str, stamp_ns: int, log_ns: int) -> NDArray[np.float64]:
        """Return the pose of a camera at a stamp.

        Args:
            frame_id: The camera's optical frame.
            stamp_ns: Stamp of the image in nanoseconds.
            log_ns: Time at which the image was recorded, in nanoseconds.

        Returns:
            (4, 4) float64 matrix from the camera to the map.

        Raises:
            ValueError: There is no pose near the stamp, or the bag is damaged.
        """
        while self._next is not None and self._next.log_ns <= log_ns + _AHEAD_NS:
            message, self._next = self._next, next(self._messages, None)
            self._add(message)
        if self._uses_tf:
            return self._buffer.lookup(self._map_frame, frame_id, stamp_ns)
        return self._buffer.lookup(self._map_frame, _BODY, stamp_ns) @ self._camera_pose

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()

    def _add(self, message: BagMessage) -> None:
        parsed = self._bag.deserialize(message.topic, message.data)
        if self._uses_tf:
            for transform in parsed.transforms:
                pose = transform.transform
                self._store(transform.header, transform.child_frame_id, pose.translation, pose.rotation, message.topic)
            return
        pose = parsed.pose.pose if hasattr(parsed.pose, "pose") else parsed.pose  # odometry has a covariance
        if parsed.header.frame_id == self._map_frame:
            self._store(parsed.header, _BODY, pose.position, pose.orientation, message.topic)

    def _store(self, header: Any, child: str, position: Any, rotation: Any, topic: str) -> None:
        stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        transform = StampedTransform(
            stamp_ns,
            header.frame_id,
            child,
            (position.x, position.y, position.z),
            (rotation.x, rotation.y, rotation.z, rotation.w),
        )
        self._buffer.add(transform, static=topic == _STATIC)
