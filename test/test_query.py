"""The best pixel and its point."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.geometry import unproject
from lseg_ros.query import locate
from lseg_ros.structures import Frame, Intrinsics

CAMERA = Intrinsics(fx=50.0, fy=55.0, cx=31.5, cy=23.5, width=64, height=48)
IMAGE = np.zeros((48, 64, 3), np.uint8)
DEPTH_M = np.random.default_rng(0).uniform(1, 4, (48, 64)).astype(np.float32)


def similarity_of(*peaks: tuple[int, int, float]) -> np.ndarray:
    """An image of -0.5 with other values at some (row, column)."""
    image = np.full((48, 64), -0.5, np.float32)
    for row, column, value in peaks:
        image[row, column] = value
    return image


@pytest.mark.parametrize(("row", "column"), [(20, 30), (0, 0), (47, 63), (47, 0)])
def test_the_point_is_that_of_the_best_pixel(row: int, column: int) -> None:
    found = locate(similarity_of((row, column, 0.7), (10, 12, 0.4)), Frame(IMAGE, DEPTH_M, CAMERA))
    assert found.pixel == (column, row) and found.score == pytest.approx(0.7)
    assert found.point == pytest.approx(unproject(DEPTH_M, CAMERA)[row, column])


def test_where_its_depth_is_not_known_it_is_the_most_similar_neighbor_that_has_one() -> None:
    depth_m = DEPTH_M.copy()
    depth_m[20, 28:32] = np.nan
    image = similarity_of((20, 30, 0.9), (20, 31, 0.8), (20, 33, 0.6), (21, 30, 0.1), (20, 41, 0.7))
    found = locate(image, Frame(IMAGE, depth_m, CAMERA))
    assert found.pixel == (30, 20)
    assert found.point == pytest.approx(unproject(depth_m, CAMERA)[20, 33])  # (20, 41) is too far away


def test_depth_out_of_range_is_no_depth() -> None:
    image = similarity_of((20, 30, 0.9))
    found = locate(image, Frame(IMAGE, DEPTH_M, CAMERA), nearest_m=2.0, farthest_m=3.0)
    assert found.point is not None and 2.0 <= found.point[2] <= 3.0
    assert locate(image, Frame(IMAGE, DEPTH_M, CAMERA), nearest_m=5.0).point is None


@pytest.mark.parametrize(
    "frame",
    [Frame(IMAGE), Frame(IMAGE, DEPTH_M), Frame(IMAGE, np.full_like(DEPTH_M, np.nan), CAMERA)],
    ids=["no depth", "no camera_info", "a hole"],
)
def test_without_depth_there_is_a_pixel_and_no_point(frame: Frame) -> None:
    found = locate(similarity_of((20, 30, 0.9)), frame)
    assert found.pixel == (30, 20) and found.point is None
