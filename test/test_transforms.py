"""Tests of poses over time."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.structures import StampedTransform
from lseg_ros.transforms import TransformBuffer, invert, parse_pose, pose_matrix, transform_points

S = 1_000_000_000
IDENTITY = (0.0, 0.0, 0.0, 1.0)
TURN = (0.0, 0.0, 0.5**0.5, 0.5**0.5)  # 90 degrees to the left
NUMBERS = st.floats(-10, 10)
QUATERNIONS = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).filter(lambda q: sum(value * value for value in q) > 0.1)


def pose(
    parent: str, child: str, xyz: tuple[float, float, float], s: float = 0, rotation: tuple[float, ...] = IDENTITY
) -> StampedTransform:
    return StampedTransform(round(s * S), parent, child, xyz, rotation)  # type: ignore[arg-type]


@pytest.fixture
def buffer() -> TransformBuffer:
    """A robot that drives 2 m along x of odom from 10 s to 12 s, with a lidar 1 m above it."""
    buffer = TransformBuffer()
    buffer.add(pose("odom", "base", (0, 0, 0), 10))
    buffer.add(pose("odom", "base", (2, 0, 0), 12, TURN))
    buffer.add(pose("base", "lidar", (0, 0, 1)), static=True)
    buffer.add(pose("base", "camera", (0.5, 0, 0)), static=True)
    return buffer


def test_pose_maps_points_of_the_child_to_the_parent() -> None:
    points = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert np.allclose(transform_points(pose_matrix((1, 2, 3), TURN), points), [[1, 3, 3], [0, 2, 3]])


@given(QUATERNIONS, st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_inverse_undoes_a_transform(quaternion: tuple[float, ...], translation: tuple[float, ...]) -> None:
    matrix = pose_matrix(translation, np.divide(quaternion, np.linalg.norm(quaternion)).tolist())
    assert np.allclose(invert(matrix) @ matrix, np.eye(4), atol=1e-9)


def test_lookup_follows_the_tree_up_and_down(buffer: TransformBuffer) -> None:
    assert np.allclose(buffer.lookup("camera", "lidar", 11 * S), pose_matrix((-0.5, 0, 1), IDENTITY))
    assert np.allclose(buffer.lookup("odom", "lidar", 12 * S), pose_matrix((2, 0, 1), TURN))
    assert np.allclose(buffer.lookup("lidar", "odom", 12 * S), invert(pose_matrix((2, 0, 1), TURN)))
    assert np.array_equal(buffer.lookup("map", "map", 0), np.eye(4))


def test_lookup_interpolates_position_and_rotation(buffer: TransformBuffer) -> None:
    half = pose_matrix((1, 0, 0), (0, 0, np.sin(np.pi / 8), np.cos(np.pi / 8)))
    assert np.allclose(buffer.lookup("odom", "base", 11 * S), half)


def test_rotation_takes_the_shorter_arc() -> None:
    buffer = TransformBuffer()
    buffer.add(pose("a", "b", (0, 0, 0), 0, (0, 0, 0, 1)))
    buffer.add(pose("a", "b", (0, 0, 0), 2, (0, 0, -(0.5**0.5), -(0.5**0.5))))  # the same as TURN
    assert np.allclose(buffer.lookup("a", "b", S), pose_matrix((0, 0, 0), (0, 0, np.sin(np.pi / 8), np.cos(np.pi / 8))))


def test_fixed_frame_accounts_for_the_motion_between_two_stamps(buffer: TransformBuffer) -> None:
    buffer.add(pose("odom", "base", (2, 0, 0), 12))
    matrix = buffer.lookup_between("camera", 12 * S, "lidar", 11 * S, "odom")
    assert np.allclose(matrix, pose_matrix((-1.5, 0, 1), IDENTITY))
    assert np.allclose(
        buffer.lookup_between("camera", 12 * S, "lidar", 11 * S, ""), buffer.lookup("camera", "lidar", 0)
    )


def test_leading_slashes_are_ignored(buffer: TransformBuffer) -> None:
    assert np.array_equal(buffer.lookup("/camera", "/lidar", 0), buffer.lookup("camera", "lidar", 0))


@pytest.mark.parametrize(
    ("target", "source", "s", "message"),
    [
        ("odom", "radar", 11, "'radar' unknown"),
        ("map", "radar", 11, "'radar' and 'map' unknown"),
        ("odom", "island", 11, "'island' and 'odom' are not connected"),
        ("odom", "base", 12.25, "the newest pose of 'base' is 0.250 s too old"),
        ("odom", "base", 9.5, "the oldest pose of 'base' is 0.500 s too new"),
    ],
)
def test_error_says_what_is_missing(buffer: TransformBuffer, target: str, source: str, s: float, message: str) -> None:
    buffer.add(pose("sea", "island", (0, 0, 0)))
    with pytest.raises(ValueError, match=re.escape(message)):
        buffer.lookup(target, source, round(s * S))


def test_jump_of_a_frame_is_an_error_only_between_its_samples(buffer: TransformBuffer) -> None:
    buffer.add(pose("odom", "base", (200, 0, 0), 12.1))
    buffer.add(pose("odom", "base", (201, 0, 0), 13.1))
    with pytest.raises(ValueError, match="'base' jumped by 198.0 m within 0.100 s"):
        buffer.lookup("odom", "base", round(12.05 * S))
    assert buffer.lookup("odom", "base", round(12.6 * S))[0, 3] == pytest.approx(200.5)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (pose("a", "a", (0, 0, 0)), "two different frames"),
        (pose("", "a", (0, 0, 0)), "two different frames"),
        (pose("a", "b", (0, np.nan, 0)), "finite numbers in the pose of 'b'"),
        (pose("a", "b", (0, 0, 0), 0, (0, 0, 0, 0)), "'b': expected a unit quaternion, got one of length 0"),
    ],
)
def test_invalid_transform_is_rejected_and_changes_nothing(transform: StampedTransform, message: str) -> None:
    buffer = TransformBuffer()
    with pytest.raises(ValueError, match=message):
        buffer.add(transform)
    with pytest.raises(ValueError, match="unknown"):
        buffer.lookup("a", "b", 0)


def test_loop_of_frames_does_not_hang() -> None:
    buffer = TransformBuffer()
    buffer.add(pose("a", "b", (0, 0, 0)), static=True)
    buffer.add(pose("b", "a", (0, 0, 0)), static=True)
    with pytest.raises(ValueError, match="'c' unknown"):
        buffer.lookup("c", "a", 0)


def test_samples_older_than_the_span_are_dropped_and_a_reset_clock_starts_over() -> None:
    buffer = TransformBuffer(span_ns=2 * S)
    for s in (100, 101, 103):
        buffer.add(pose("a", "b", (s, 0, 0), s))
    with pytest.raises(ValueError, match="the oldest pose of 'b' is 0.500 s too new"):
        buffer.lookup("a", "b", round(100.5 * S))
    buffer.add(pose("a", "b", (5, 0, 0), 5))
    assert buffer.lookup("a", "b", 5 * S)[0, 3] == 5


def test_number_of_frames_is_limited() -> None:
    buffer = TransformBuffer()
    for index in range(1000):
        buffer.add(pose("a", f"b{index}", (0, 0, 0)))
    with pytest.raises(ValueError, match="at most 1000 frames"):
        buffer.add(pose("a", "one too many", (0, 0, 0)))


def test_lookup_waits_for_a_transform_that_arrives_in_time(buffer: TransformBuffer) -> None:
    arrival = threading.Timer(0.05, buffer.add, [pose("odom", "base", (3, 0, 0), 13)])
    arrival.start()
    assert buffer.lookup("odom", "base", 13 * S, patience_s=10.0)[0, 3] == 3
    arrival.join()


def test_pose_in_a_setting() -> None:
    assert np.allclose(parse_pose("1, 2 3  0 0 0 1", "cloud_extrinsics"), pose_matrix((1, 2, 3), IDENTITY))
    for text in ("", "1 2 3", "1 2 3 0 0 0 nan", "1 2 3 0 0 0 one"):
        with pytest.raises(ValueError, match=f"cloud_extrinsics: expected 'x y z qx qy qz qw', got '{text}'"):
            parse_pose(text, "cloud_extrinsics")
    with pytest.raises(ValueError, match="expected a unit quaternion, got one of length 2"):
        parse_pose("1 2 3 0 0 0 2", "cloud_extrinsics")
