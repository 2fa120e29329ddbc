"""Recorded trajectories, and the detection of jumps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.mapping.poses import PoseGate, Trajectory, read_trajectory


def at(x_m: float, yaw_rad: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    pose[:2, :2], pose[0, 3] = [[c, -s], [s, c]], x_m
    return pose


def turning() -> Trajectory:
    """One second of motion along x while turning by 90 degrees about z."""
    half = math.sqrt(0.5)
    stamps_ns = np.array([0, 1_000_000_000])
    return Trajectory(
        stamps_ns, np.array([[0.0, 0, 0], [2, 0, 0]]), np.array([[0, 0, 0, 1.0], [0, 0, half, half]]), max_gap_s=1.0
    )


@given(st.floats(0, 1))
def test_poses_are_interpolated(share: float) -> None:
    assert np.allclose(turning().pose(round(share * 1e9)), at(2 * share, share * math.pi / 2), atol=1e-6)


@pytest.mark.parametrize("stamp_s", [-0.1, 1.1])
def test_a_stamp_without_a_pose_is_an_error(stamp_s: float) -> None:
    with pytest.raises(ValueError, match=r"pose: expected one near the stamp .* s away"):
        turning().pose(round(stamp_s * 1e9))


def test_a_gap_between_poses_is_not_bridged() -> None:
    trajectory = Trajectory(np.array([0, 10**10]), np.zeros((2, 3)), np.tile([0, 0, 0, 1.0], (2, 1)))
    with pytest.raises(ValueError, match=r"5\.000 s away"):
        trajectory.pose(5 * 10**9)


def test_a_file_of_poses_is_read(tmp_path: Path) -> None:
    path = tmp_path / "groundtruth.txt"
    path.write_text("# a comment\n\n10.5 1 2 3 0 0 0 2\n10.5 9 9 9 0 0 0 1\n10.6 1 2 4 0 0 0 1\n")
    trajectory = read_trajectory(path)
    assert trajectory.stamps_ns.tolist() == [10_500_000_000, 10_600_000_000]
    assert trajectory.pose(10_550_000_000)[:3, 3].tolist() == [1, 2, 3.5]


@pytest.mark.parametrize("line", ["1 2 3", "a b c d e f g h", "1 nan 0 0 0 0 0 1", "1 0 0 0 0 0 0 0"])
def test_a_line_that_is_no_pose_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "poses.txt"
    path.write_text(f"0 0 0 0 0 0 0 1\n{line}\n")
    with pytest.raises(ValueError, match=r"poses\.txt, line 2: expected 'stamp tx ty tz qx qy qz qw'"):
        read_trajectory(path)


def test_a_teleporting_pose_costs_its_own_frame() -> None:
    gate = PoseGate(max_speed_m_s=2.0)
    gate.check(0, at(0))
    with pytest.raises(ValueError, match=r"at most 2 m/s, got 7\.00 m and 0 degrees within 0\.100 s"):
        gate.check(100_000_000, at(7))
    gate.check(200_000_000, at(0.2))


def test_after_a_correction_of_the_localization_the_new_poses_are_used() -> None:
    gate = PoseGate(max_speed_m_s=2.0)
    gate.check(0, at(0))
    with pytest.raises(ValueError, match="180 degrees"):
        gate.check(100_000_000, at(0, math.pi))
    gate.check(200_000_000, at(0, math.pi))


@pytest.mark.parametrize("pose", [np.full((4, 4), np.nan), 2 * np.eye(4), np.eye(3)])
def test_a_matrix_that_is_no_pose_is_rejected(pose: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pose: expected a finite rotation and translation"):
        PoseGate(1.0).check(0, pose)
