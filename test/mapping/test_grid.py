"""Keys, coordinates and slots of voxels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lseg_ros.mapping.grid import EMPTY, OUTSIDE, VoxelGrid

POINTS = arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-6, 6, width=32))


@given(POINTS)
def test_a_point_is_in_the_voxel_of_its_key(points: np.ndarray) -> None:
    grid = VoxelGrid(0.1, 8.0)
    keys = grid.keys(points)
    inside = (abs(points) < 4 - 1e-3).all(axis=1)
    assert (keys[inside] != OUTSIDE).all()
    assert (keys[(abs(points) > 4 + 1e-3).any(axis=1)] == OUTSIDE).all()
    assert (abs(grid.centers(keys[inside]) - points[inside]) <= 0.05 + 1e-4).all()
    assert (grid.keys_of(grid.cells_of(keys[inside])) == keys[inside]).all()


def test_points_that_are_not_finite_are_outside() -> None:
    points = np.array([[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf]], np.float32)
    assert (VoxelGrid(0.1, 8.0).keys(points) == OUTSIDE).all()


def test_slots_are_found_until_they_are_cleared() -> None:
    grid = VoxelGrid(0.1, 8.0)
    keys = np.unique(grid.keys(np.random.default_rng(0).uniform(-3, 3, (500, 3))))
    assert (grid.slots(keys) == EMPTY).all()
    grid.assign(keys, np.arange(len(keys), dtype=np.int32))
    assert (grid.slots(keys) == np.arange(len(keys))).all()
    grid.clear(keys[::2])
    assert (grid.slots(keys[::2]) == EMPTY).all()
    assert (grid.slots(keys[1::2]) == np.arange(len(keys))[1::2]).all()
