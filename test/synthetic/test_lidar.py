"""Tests of the synthetic lidar against the synthetic camera."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.synthetic import LIDAR_IN_CAMERA, Lidar, SyntheticWorld
from lseg_ros.synthetic.lidar import scan
from lseg_ros.synthetic.primitives import Solids

SPARSE = Lidar(rings=16, columns=180)


def test_points_lie_on_the_surfaces_that_the_camera_sees() -> None:
    """A lidar at the camera measures the camera's depth and labels."""
    world = SyntheticWorld(1)
    position, rotation = world.path.pose(2.0)
    xyz, solid = scan(world._scene.solids, position, rotation @ LIDAR_IN_CAMERA[:3, :3], Lidar())
    view, camera = world.frame(2.0), world.intrinsics
    x, y, z = (xyz.reshape(-1, 3) @ LIDAR_IN_CAMERA[:3, :3].T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        column, row = np.rint(x / z * camera.fx + camera.cx), np.rint(y / z * camera.fy + camera.cy)
    inside = (z > 0.05) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    at = row[inside].astype(int), column[inside].astype(int)
    assert view.frame.depth_m is not None
    depth_error_m = np.abs(view.frame.depth_m[at] - z[inside])
    assert np.mean(depth_error_m < 0.02 * z[inside]) > 0.9
    assert np.mean(view.labels[at] == world._scene.label[solid.reshape(-1)[inside]]) > 0.98


def test_all_directions_are_measured_in_rings_from_top_to_bottom() -> None:
    cube = Solids(np.zeros(1, np.int8), np.array([[3, 0, 0.0]]), np.full((1, 3), 1.0), np.eye(3)[None], np.zeros(1))
    xyz, solid = scan(cube, np.zeros(3), np.eye(3), Lidar(4, 72, -10, 10))
    azimuth_deg = (np.arange(72) * 5 + 182.5) % 360 - 180
    hit = np.abs(azimuth_deg) < 26.6
    assert ((solid == 0) == hit).all()
    assert np.allclose(xyz[:, hit, 0], 2.0)
    assert (np.diff(xyz[:, hit, 2], axis=0) < 0).all()
    assert np.isnan(xyz[:, ~hit]).all()


def test_objects_across_the_first_column_are_complete() -> None:
    wall = Solids(np.zeros(1, np.int8), np.array([[3, 0, 0.0]]), np.array([[0.1, 9, 9]]), np.eye(3)[None], np.zeros(1))
    _, solid = scan(wall, np.zeros(3), np.eye(3), Lidar(2, 360, -1, 1, range_m=4.0))
    azimuth_deg = (np.arange(360) + 180.5) % 360 - 180
    assert ((solid >= 0) == (np.abs(azimuth_deg) < 43.51)).all(axis=1).tolist() == [True, True]


def test_the_same_turn_twice_is_equal_and_has_a_label_for_every_return() -> None:
    turns = [SyntheticWorld(3).lidar(1.0, SPARSE) for _ in range(2)]
    assert np.array_equal(turns[0].cloud.xyz, turns[1].cloud.xyz, equal_nan=True)
    assert turns[0].cloud.shape == (16, 180)
    assert ((turns[0].labels > 0) == np.isfinite(turns[0].cloud.xyz[:, 0])).all()


@pytest.mark.parametrize(("arguments", "message"), [((1, 100), "2 rings"), ((4, 100, 10, -10), "lowest_deg")])
def test_invalid_lidar_is_an_error(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lidar(*arguments)  # type: ignore[arg-type]
