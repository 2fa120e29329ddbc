"""Tests of the benchmark of lidar points."""

from __future__ import annotations

from benchmarks.lidar import measure, scan_image
from lseg_ros.geometry import project
from lseg_ros.synthetic import SyntheticWorld
from lseg_ros.transforms import transform_points


def test_every_stage_is_measured() -> None:
    times_ms = measure(1, rings=4, columns=64)
    assert list(times_ms) == ["read", "label", "merge", "write", "total"]
    assert all(ms > 0 for ms in times_ms.values())


def test_all_points_of_a_forward_lidar_are_in_the_image() -> None:
    frame = SyntheticWorld(8, 160, 120).frame(0.5).frame
    cloud = scan_image(frame, 32, 64)
    assert frame.intrinsics is not None
    pixel = project(transform_points(cloud.to_camera, cloud.xyz), frame.intrinsics)
    assert len(pixel) == 32 * 64
    assert ((pixel > -0.5) & (pixel < (159.5, 119.5))).all()
