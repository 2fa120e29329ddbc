"""Poses of coordinate frames over time: what tf2 computes, without ROS.

A transform is a 4x4 float64 matrix that maps points of a source frame to a target frame. Quaternions are x, y, z, w.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lseg_ros.quoting import quote
from lseg_ros.structures import StampedTransform

__all__ = ["TransformBuffer", "invert", "parse_pose", "pose_matrix", "slerp", "transform_points"]

_SPAN_NS = 10_000_000_000
_MAX_SAMPLES = 10_000  # of one frame: 10 s at 1 kHz
_MAX_FRAMES = 1000
_MAX_DEPTH = 100  # of the tree; a loop would otherwise never end
_NORM_TOLERANCE = 0.01  # as in tf2
_MAX_SPEED_MPS = 50.0  # a frame that moves faster between two samples has jumped
_MIN_JUMP_M = 1.0
_NEARLY_PARALLEL = 0.9995  # quaternions whose slerp would divide by almost 0

_Pose = tuple[tuple[float, float, float], tuple[float, float, float, float]]


def pose_matrix(translation: Sequence[float], rotation: Sequence[float]) -> NDArray[np.float64]:
    """Build the 4x4 matrix of a pose.

    Args:
        translation: x, y, z in meters.
        rotation: Unit quaternion x, y, z, w.
    """
    x, y, z, w = rotation
    matrix = np.eye(4)
    matrix[0, :3] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
    matrix[1, :3] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
    matrix[2, :3] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    matrix[:3, 3] = translation
    return matrix


def parse_pose(text: str, name: str) -> NDArray[np.float64]:
    """Read a pose from ``x y z qx qy qz qw`` in meters.

    Args:
        text: Seven numbers, with spaces or commas between them.
        name: What the text is, with which error messages begin.

    Returns:
        (4, 4) float64 matrix.

    Raises:
        ValueError: The text is not seven finite numbers, or the quaternion is not a unit quaternion.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != 7 or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected 'x y z qx qy qz qw', got {quote(text)}")
    return pose_matrix(values[:3], _normalize(values[3:], name))


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a 4x4 rigid transform."""
    inverse = np.eye(4)
    inverse[:3, :3] = matrix[:3, :3].T
    inverse[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return inverse


def transform_points(matrix: NDArray[np.float64], xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a 4x4 transform to (..., 3) float32 points."""
    moved = xyz @ matrix[:3, :3].T.astype(np.float32)
    moved += matrix[:3, 3].astype(np.float32)
    return moved


class TransformBuffer:
    """The transforms of the last ten seconds, looked up by frame and stamp.

    Any thread may call any method. Memory is limited: at most 1000 frames with 10,000 samples each. If the stamps of a
    frame jump back by more than the span (a bag restarts or a simulation is reset), that frame starts over.
    """

    def __init__(self, span_ns: int = _SPAN_NS) -> None:
        """Create an empty buffer.

        Args:
            span_ns: How long samples are kept, measured by their stamps, in nanoseconds.
        """
        self._span_ns = span_ns
        self._links: dict[str, _Link] = {}  # by child frame
        self._changed = threading.Condition()

    def add(self, transform: StampedTransform, *, static: bool = False) -> None:
        """Store the pose of a child frame in its parent frame.

        Args:
            transform: The pose. It replaces one with the same stamp.
            static: The pose is valid at all times.

        Raises:
            ValueError: The frames are the same or unnamed, a number is not finite, the quaternion is not a unit
                quaternion, or there are too many frames. The buffer does not change.
        """
        parent, child = _clean(transform.frame_id), _clean(transform.child_frame_id)
        if not parent or not child or parent == child:
            raise ValueError(f"tf: expected two different frames, got {quote(parent)} and {quote(child)}")
        if not np.isfinite((*transform.translation, *transform.rotation)).all():
            raise ValueError(f"tf: expected finite numbers in the pose of {quote(child)}")
        pose = (transform.translation, _normalize(transform.rotation, f"tf: {quote(child)}"))
        with self._changed:
            link = self._links.get(child)
            if link is None and len(self._links) >= _MAX_FRAMES:
                raise ValueError(f"tf: expected at most {_MAX_FRAMES} frames, got also {quote(child)}")
            if link is None or link.parent != parent or link.static != static:
                link = self._links[child] = _Link(parent, static)
            link.add(transform.stamp_ns, pose, self._span_ns)
            self._changed.notify_all()

    def lookup(
        self, target_frame: str, source_frame: str, stamp_ns: int, patience_s: float = 0.0
    ) -> NDArray[np.float64]:
        """Return the transform from one frame to another at a stamp, interpolated between samples.

        Args:
            target_frame: Frame of the result.
            source_frame: Frame of the points.
            stamp_ns: Stamp in nanoseconds.
            patience_s: How long to wait for a transform that may still arrive, in seconds.

        Returns:
            (4, 4) float64 matrix that maps points of the source frame to the target frame.

        Raises:
            ValueError: A frame is unknown, the frames are not connected, the stamp is outside of the samples, or a
                frame jumped. The message says which.
        """
        return self.lookup_between(target_frame, stamp_ns, source_frame, stamp_ns, "", patience_s)

    def lookup_between(
        self,
        target_frame: str,
        target_ns: int,
        source_frame: str,
        source_ns: int,
        fixed_frame: str,
        patience_s: float = 0.0,
    ) -> NDArray[np.float64]:
        """Return the transform from a frame at one stamp to a frame at another stamp.

        Args:
            target_frame: Frame of the result.
            target_ns: Its stamp in nanoseconds.
            source_frame: Frame of the points.
            source_ns: Their stamp in nanoseconds.
            fixed_frame: Frame that does not move between the stamps, such as odom. "" ignores the motion: the
                transform is that of ``target_ns``.
            patience_s: See ``lookup``.

        Returns:
            (4, 4) float64 matrix that maps points of the source frame to the target frame.

        Raises:
            ValueError: See ``lookup``.
        """
        target, source, fixed = _clean(target_frame), _clean(source_frame), _clean(fixed_frame)
        deadline_s = time.monotonic() + patience_s
        with self._changed:
            while True:
                try:
                    if not fixed:
                        return self._between(target, source, target_ns)
                    return self._between(target, fixed, target_ns) @ self._between(fixed, source, source_ns)
                except ValueError:
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0:
                        raise
                self._changed.wait(left_s)

    def _between(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
        if target == source:
            return np.eye(4)
        up, down = self._ancestors(source), self._ancestors(target)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            missing = [quote(frame) for frame in (source, target) if not self._knows(frame)]
            if missing:
                raise ValueError(f"tf: {' and '.join(missing)} unknown: check that a node publishes it on /tf")
            raise ValueError(f"tf: {quote(source)} and {quote(target)} are not connected")
        return invert(self._climb(down, common, stamp_ns)) @ self._climb(up, common, stamp_ns)

    def _knows(self, frame: str) -> bool:
        return frame in self._links or any(link.parent == frame for link in self._links.values())

    def _ancestors(self, frame: str) -> list[str]:
        """List a frame and its ancestors up to the root."""
        frames = [frame]
        while (link := self._links.get(frames[-1])) is not None and len(frames) < _MAX_DEPTH:
            frames.append(link.parent)
        return frames

    def _climb(self, frames: Sequence[str], ancestor: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return the transform from the first frame to one of its ancestors."""
        matrix = np.eye(4)
        for frame in frames[: frames.index(ancestor)]:
            matrix = self._links[frame].at(stamp_ns, frame) @ matrix
        return matrix


class _Link:
    """The poses of one frame in its parent frame, in the order of their stamps."""

    def __init__(self, parent: str, static: bool) -> None:
        self.parent = parent
        self.static = static
        self._stamps_ns: list[int] = []
        self._poses: list[_Pose] = []

    def add(self, stamp_ns: int, pose: _Pose, span_ns: int) -> None:
        if self.static or (self._stamps_ns and stamp_ns < self._stamps_ns[-1] - span_ns):
            self._stamps_ns, self._poses = [], []
        index = bisect_left(self._stamps_ns, stamp_ns)
        if index < len(self._stamps_ns) and self._stamps_ns[index] == stamp_ns:
            self._poses[index] = pose
        else:
            self._stamps_ns.insert(index, stamp_ns)
            self._poses.insert(index, pose)
        old = bisect_left(self._stamps_ns, self._stamps_ns[-1] - span_ns)
        old = max(old, len(self._stamps_ns) - _MAX_SAMPLES)
        del self._stamps_ns[:old], self._poses[:old]

    def at(self, stamp_ns: int, frame: str) -> NDArray[np.float64]:
        """Return the 4x4 pose at a stamp; ``frame`` is the name for errors."""
        stamps_ns, poses = self._stamps_ns, self._poses
        index = bisect_left(stamps_ns, stamp_ns)
        if self.static or (index < len(stamps_ns) and stamps_ns[index] == stamp_ns):
            return pose_matrix(*poses[0 if self.static else index])
        if index == len(stamps_ns):
            late_s = (stamp_ns - stamps_ns[-1]) / 1e9
            raise ValueError(f"tf: the newest pose of {quote(frame)} is {late_s:.3f} s too old")
        if index == 0:
            early_s = (stamps_ns[0] - stamp_ns) / 1e9
            raise ValueError(f"tf: the oldest pose of {quote(frame)} is {early_s:.3f} s too new")
        period_s = (stamps_ns[index] - stamps_ns[index - 1]) / 1e9
        (before, first), (after, second) = poses[index - 1], poses[index]
        moved_m = float(np.linalg.norm(np.subtract(after, before)))
        if moved_m > max(_MIN_JUMP_M, _MAX_SPEED_MPS * period_s):
            raise ValueError(f"tf: {quote(frame)} jumped by {moved_m:.1f} m within {period_s:.3f} s")
        share = (stamp_ns - stamps_ns[index - 1]) / (stamps_ns[index] - stamps_ns[index - 1])
        position = [start + share * (end - start) for start, end in zip(before, after)]
        return pose_matrix(position, slerp(first, second, share))


def slerp(first: Sequence[float], second: Sequence[float], share: float) -> list[float]:
    """Interpolate between two unit quaternions along the shorter arc."""
    cosine = sum(a * b for a, b in zip(first, second))
    sign = 1.0 if cosine >= 0 else -1.0
    weights = (1 - share, share)
    if abs(cosine) < _NEARLY_PARALLEL:
        angle = float(np.arccos(abs(cosine)))
        weights = (float(np.sin((1 - share) * angle)), float(np.sin(share * angle)))
    mixed = [weights[0] * a + sign * weights[1] * b for a, b in zip(first, second)]
    norm = sum(value * value for value in mixed) ** 0.5
    return [value / norm for value in mixed]


def _normalize(rotation: Sequence[float], name: str) -> tuple[float, float, float, float]:
    x, y, z, w = rotation
    norm = (x * x + y * y + z * z + w * w) ** 0.5
    if not abs(norm - 1) <= _NORM_TOLERANCE:
        raise ValueError(f"{name}: expected a unit quaternion, got one of length {norm:.4g}")
    return x / norm, y / norm, z / norm, w / norm


def _clean(frame: str) -> str:
    """Remove the leading slash that some drivers still write."""
    return frame.lstrip("/")
