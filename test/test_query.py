"""Tests of finding the best pixel and its point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lseg_ros.geometry import unproject
from lseg_ros.query import locate
from lseg_ros.structures import Cloud, Frame, Intrinsics

CAMERA = Intrinsics(fx=50.0, fy=55.0, cx=31.5, cy=23.5, width=64, height=48)
IMAGE = np.zeros((48, 64, 3), np.uint8)
DEPTH_M = np.random.default_rng(0).uniform(1, 4, (48, 64)).astype(np.float32)


def similarity_image(*peaks: tuple[int, int, float]) -> np.ndarray:
    """Make an image of -0.5 with other values at the given (row, column)."""
    image = np.full((48, 64), -0.5, np.float32)
    for row, column, value in peaks:
        image[row, column] = value
    return image


@pytest.mark.parametrize(("row", "column"), [(20, 30), (0, 0), (47, 63), (47, 0)])
def test_returns_the_point_of_the_best_pixel(row: int, column: int) -> None:
    result = locate(similarity_image((row, column, 0.7), (10, 12, 0.4)), Frame(IMAGE, DEPTH_M, CAMERA))
    assert result.pixel == (column, row) and result.score == pytest.approx(0.7)
    assert result.point == pytest.approx(unproject(DEPTH_M, CAMERA)[row, column])


def test_returns_the_most_similar_neighbor_with_depth_if_the_best_pixel_has_none() -> None:
    depth_m = DEPTH_M.copy()
    depth_m[20, 28:32] = np.nan
    image = similarity_image((20, 30, 0.9), (20, 31, 0.8), (20, 33, 0.6), (21, 30, 0.1), (20, 41, 0.7))
    result = locate(image, Frame(IMAGE, depth_m, CAMERA))
    assert result.pixel == (30, 20)
    assert result.point == pytest.approx(unproject(depth_m, CAMERA)[20, 33])  # (20, 41) is out of the window


def test_ignores_depth_out_of_range() -> None:
    image = similarity_image((20, 30, 0.9))
    result = locate(image, Frame(IMAGE, DEPTH_M, CAMERA), nearest_m=2.0, farthest_m=3.0)
    assert result.point is not None and 2.0 <= result.point[2] <= 3.0
    assert locate(image, Frame(IMAGE, DEPTH_M, CAMERA), nearest_m=5.0).point is None


@pytest.mark.parametrize(
    "frame",
    [Frame(IMAGE), Frame(IMAGE, DEPTH_M), Frame(IMAGE, np.full_like(DEPTH_M, np.nan), CAMERA)],
    ids=["no depth", "no camera_info", "a hole"],
)
def test_returns_no_point_without_depth(frame: Frame) -> None:
    result = locate(similarity_image((20, 30, 0.9)), frame)
    assert result.pixel == (30, 20) and result.point is None


def cloud_at(rows: Sequence[int], columns: Sequence[int]) -> Cloud:
    """Return a cloud of the camera itself with points at some pixels, 2 m away."""
    wall = np.full_like(DEPTH_M, 2.0)
    xyz = unproject(wall, CAMERA)[np.asarray(rows, int), np.asarray(columns, int)]
    return Cloud(xyz.astype(np.float32), np.eye(4), (1, len(xyz)))


def test_returns_the_nearest_lidar_point_if_no_depth_is_known() -> None:
    cloud, unknown = cloud_at([20, 18, 40], [34, 31, 60]), np.full_like(DEPTH_M, np.nan)
    image = similarity_image((20, 30, 0.9), (20, 34, 0.8))
    for depth_m in (None, unknown):
        assert locate(image, Frame(IMAGE, depth_m, CAMERA, cloud=cloud)).point == pytest.approx(cloud.xyz[1])
    with_depth = locate(image, Frame(IMAGE, DEPTH_M, CAMERA, cloud=cloud))
    assert with_depth.point == pytest.approx(unproject(DEPTH_M, CAMERA)[20, 30])


def test_returns_no_lidar_point_that_is_far_away_in_the_image() -> None:
    lower = np.indices((18, 64)).reshape(2, -1)
    frame = Frame(IMAGE, None, CAMERA, cloud=cloud_at(lower[0] + 30, lower[1]))
    assert locate(similarity_image((25, 5, 0.9)), frame).point is not None
    assert locate(similarity_image((5, 5, 0.9)), frame).point is None
    assert locate(similarity_image((5, 5, 0.9)), Frame(IMAGE, None, CAMERA, cloud=cloud_at([], []))).point is None
