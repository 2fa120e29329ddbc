"""Poses of a camera over time: recorded trajectories, and the detection of jumps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lseg_ros.image_data import read_file
from lseg_ros.transforms import pose_matrix, slerp

__all__ = ["PoseGate", "Trajectory", "check_pose", "read_trajectory"]

Pose = NDArray[np.float64]  # (4, 4), maps points of the camera to the map

_MAX_FILE_BYTES = 1 << 28
_MAX_QUOTED = 200
_SLACK_M = 0.1  # noise of a pose, which is no motion
_SLACK_RAD = 0.2
_MAX_TURN_RAD_S = 2 * math.pi
_LONGEST_GAP_S = 10.0  # after a longer pause, any pose is plausible


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses of a camera's optical frame in the map, by time.

    Attributes:
        stamps_ns: (N,) int64 stamps in nanoseconds, increasing.
        positions: (N, 3) float64 meters.
        rotations: (N, 4) float64 unit quaternions x y z w.
        max_gap_s: Longest time between two poses that are interpolated.
    """

    stamps_ns: NDArray[np.int64]
    positions: NDArray[np.float64]
    rotations: NDArray[np.float64]
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        count = len(self.stamps_ns)
        if not count or self.positions.shape != (count, 3) or self.rotations.shape != (count, 4):
            raise ValueError(
                f"trajectory: expected N >= 1 stamps, (N, 3) positions and (N, 4) rotations, got {count}, "
                f"{self.positions.shape} and {self.rotations.shape}"
            )
        if (np.diff(self.stamps_ns) <= 0).any():
            raise ValueError("trajectory: expected increasing stamps")

    def pose(self, stamp_ns: int) -> Pose:
        """Interpolate the pose at a stamp.

        Returns:
            (4, 4) float64 matrix from the camera to the map.

        Raises:
            ValueError: There is no pose near the stamp.
        """
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        before, after = max(after - 1, 0), min(after, len(self.stamps_ns) - 1)
        start_ns, end_ns = int(self.stamps_ns[before]), int(self.stamps_ns[after])
        nearest_s = min(abs(stamp_ns - start_ns), abs(stamp_ns - end_ns)) / 1e9
        outside = not start_ns <= stamp_ns <= end_ns
        if nearest_s > self.max_gap_s / 2 or (outside and nearest_s > 0.02):
            raise ValueError(
                f"pose: expected one near the stamp {stamp_ns / 1e9:.3f} s, the nearest is {nearest_s:.3f} s away"
            )
        share = 0.0 if end_ns == start_ns else min(max((stamp_ns - start_ns) / (end_ns - start_ns), 0.0), 1.0)
        position = self.positions[before] + share * (self.positions[after] - self.positions[before])
        return pose_matrix(position.tolist(), slerp(self.rotations[before], self.rotations[after], share))


class PoseGate:
    """Rejects poses that jump.

    A pose is accepted if it is near the last accepted pose, or near the one that was rejected last. So a single wrong
    pose and a correction by the localization each cost one frame.
    """

    def __init__(self, max_speed_m_s: float) -> None:
        """Accept the first pose.

        Args:
            max_speed_m_s: Fastest motion that is not a jump.
        """
        self._max_speed_m_s = max_speed_m_s
        self._known: list[tuple[int, Pose]] = []  # the last accepted pose, and the one that was rejected since

    def check(self, stamp_ns: int, pose: Pose) -> None:
        """Compare a pose with the previous ones.

        Raises:
            ValueError: The pose is not a rigid transform, or jumped. The message says how far.
        """
        check_pose(pose)
        jumps = [self._jump(stamp_ns, pose, *known) for known in self._known]
        if jumps and all(jumps):
            self._known = [self._known[0], (stamp_ns, pose)]
            raise ValueError(f"pose: expected a motion of at most {self._max_speed_m_s:g} m/s, got {jumps[0]}")
        self._known = [(stamp_ns, pose)]

    def _jump(self, stamp_ns: int, pose: Pose, last_ns: int, last: Pose) -> str:
        """Describe the motion between two poses if it is a jump, otherwise return ""."""
        elapsed_s = abs(stamp_ns - last_ns) / 1e9
        if elapsed_s > _LONGEST_GAP_S:
            return ""
        moved_m = math.dist(pose[:3, 3], last[:3, 3])
        cosine = (np.trace(last[:3, :3].T @ pose[:3, :3]) - 1) / 2
        turned_rad = math.acos(min(max(float(cosine), -1.0), 1.0))
        limit_m = _SLACK_M + self._max_speed_m_s * elapsed_s
        if moved_m <= limit_m and turned_rad <= _SLACK_RAD + _MAX_TURN_RAD_S * elapsed_s:
            return ""
        return f"{moved_m:.2f} m and {math.degrees(turned_rad):.0f} degrees within {elapsed_s:.3f} s"


def check_pose(pose: Pose) -> None:
    """Check that a matrix is a rigid transform.

    Raises:
        ValueError: It is not.
    """
    rotation = pose[:3, :3] if pose.shape == (4, 4) else None
    if rotation is None or not np.isfinite(pose).all() or abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
        raise ValueError("pose: expected a finite rotation and translation, got another matrix")


def read_trajectory(path: str | Path) -> Trajectory:
    """Read a file of poses in the format of the TUM RGB-D benchmark.

    Lines have the form ``stamp tx ty tz qx qy qz qw``, with stamps in seconds. Empty lines and lines
    that begin with # are skipped, and so are poses whose stamp does not increase.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line has other contents, or there is no pose.
    """
    path = Path(path).expanduser()
    stamps: list[int] = []
    poses: list[list[float]] = []
    for number, line in enumerate(read_file(path, _MAX_FILE_BYTES).decode(errors="replace").splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            stamp_s, *pose = map(float, fields)
            valid = len(pose) == 7 and np.isfinite([stamp_s, *pose]).all() and np.linalg.norm(pose[3:]) > 0.1
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(
                f"{path}, line {number}: expected 'stamp tx ty tz qx qy qz qw', got {line[:_MAX_QUOTED]!r}"
            )
        stamp_ns = round(stamp_s * 1e9)
        if not stamps or stamp_ns > stamps[-1]:
            stamps.append(stamp_ns)
            poses.append(pose)
    if not stamps:
        raise ValueError(f"{path}: expected at least one line 'stamp tx ty tz qx qy qz qw', got none")
    values = np.array(poses)
    return Trajectory(
        np.array(stamps, np.int64), values[:, :3], values[:, 3:] / np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
    )
