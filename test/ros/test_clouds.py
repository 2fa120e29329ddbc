"""Tests of the point clouds that planners use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2

from test.support.node_harness import NODE, NodeHarness, make_depth, make_frame
from test.support.ros_client import Listener, read_pixels, read_points, read_stamp_ns, wait_until

LABELS = ["floor", "wall"]
TOPICS = ["points", *(f"points/{name}" for name in LABELS)]
SetParameter = Callable[[str, Any], None]


@pytest.fixture
def active(harness: NodeHarness) -> NodeHarness:
    """The active node with ``LABELS``."""
    assert harness.client.set_labels(LABELS, node=NODE).success
    harness.activate()
    harness.clear()
    return harness


@pytest.fixture
def clouds(active: NodeHarness) -> dict[str, Listener]:
    """Listeners for ``TOPICS`` that the node has discovered."""
    listeners = {topic: active.client.listen(PointCloud2, f"{NODE}/{topic}") for topic in TOPICS}
    frame = make_frame(active.make_header())

    def is_complete() -> bool:
        active.wait_for_mask(**frame)
        return all(listener.messages for listener in listeners.values())

    wait_until(is_complete, 20, "a cloud is missing")
    return listeners


def wait_for_clouds(active: NodeHarness, clouds: dict[str, Listener], depth: Image) -> dict[str, PointCloud2]:
    """Send a frame with a depth image and return its clouds by topic."""
    active.wait_for_mask(**make_frame(depth.header, depth=depth))
    stamp = read_stamp_ns(depth)
    wait_until(lambda: all(stamp in listener.by_stamp() for listener in clouds.values()), 10, "a cloud is missing")
    return {topic: listener.by_stamp()[stamp] for topic, listener in clouds.items()}


@pytest.fixture
def set_parameter(active: NodeHarness) -> Iterator[SetParameter]:
    """A function that sets a parameter of the node until the end of the test."""
    before: dict[str, Any] = {}

    def change(name: str, value: Any) -> None:
        before[name] = active.client.get_parameter(name, NODE)
        assert active.client.set_parameter(name, value, NODE).successful

    yield change
    for name, value in before.items():
        assert active.client.set_parameter(name, value, NODE).successful


def test_every_label_has_an_empty_cloud_in_every_frame_without_valid_depth(
    active: NodeHarness, clouds: dict[str, Listener]
) -> None:
    for _ in range(3):
        messages = wait_for_clouds(active, clouds, make_depth(active.make_header(), meters=np.nan))
        assert np.isnan(read_points(messages["points"])["z"]).all()
        for name in LABELS:
            cloud = messages[f"points/{name}"]
            assert (cloud.height, cloud.width, cloud.is_dense, len(cloud.data)) == (1, 0, True, 0)
            assert [(field.name, field.offset) for field in cloud.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
            assert cloud.point_step == 16


def test_each_valid_point_is_in_the_cloud_of_one_label(active: NodeHarness, clouds: dict[str, Listener]) -> None:
    messages = wait_for_clouds(active, clouds, make_depth(active.make_header(), meters=2.0))
    assert sum(messages[f"points/{name}"].width for name in LABELS) == 48 * 64
    for name in LABELS:
        assert np.isfinite(read_points(messages[f"points/{name}"])["z"]).all()


@pytest.mark.parametrize(("name", "meters"), [("depth_min_m", 1.0), ("depth_max_m", 3.0)])
def test_points_out_of_range_are_invalid(
    active: NodeHarness, clouds: dict[str, Listener], set_parameter: SetParameter, name: str, meters: float
) -> None:
    set_parameter(name, 2.0)
    messages = wait_for_clouds(active, clouds, make_depth(active.make_header(), meters))
    points = read_points(messages["points"])
    assert all(np.isnan(points[axis]).all() for axis in "xyz")
    assert points["label"].all()  # the organized cloud keeps the labels of the mask
    assert not any(messages[f"points/{label}"].width for label in LABELS)


def test_voxel_size_reduces_the_label_clouds_but_not_the_organized_cloud(
    active: NodeHarness, clouds: dict[str, Listener], set_parameter: SetParameter
) -> None:
    set_parameter("voxel_size_m", 0.5)
    messages = wait_for_clouds(active, clouds, make_depth(active.make_header(), meters=2.0))
    assert np.isfinite(read_points(messages["points"])["z"]).all()
    for name in LABELS:
        points = read_points(messages[f"points/{name}"])
        xyz = np.stack([points[axis].ravel() for axis in "xyz"], axis=1)
        assert len(np.unique(np.floor(xyz / 0.5), axis=0)) == len(xyz) < 48 * 64 / 10


@pytest.mark.parametrize("big_endian", [False, True], ids=["little endian", "big endian"])
def test_reads_depth_in_millimeters_with_padded_rows_and_holes(
    active: NodeHarness, clouds: dict[str, Listener], big_endian: bool
) -> None:
    millimeters = np.full((48, 64), 2500, ">u2" if big_endian else "<u2")
    millimeters[10:20] = 0
    rows = np.pad(millimeters.view(np.uint8).reshape(48, -1), ((0, 0), (0, 6)), constant_values=7)
    depth = Image(header=active.make_header(), height=48, width=64, encoding="16UC1", step=rows.shape[1])
    depth.is_bigendian = big_endian
    depth.data.frombytes(rows.tobytes())
    z = read_points(wait_for_clouds(active, clouds, depth)["points"])["z"]
    assert np.isnan(z[10:20]).all()
    assert np.allclose(np.delete(z, slice(10, 20), axis=0), 2.5)


def test_computes_no_clouds_without_subscribers(active: NodeHarness) -> None:
    wait_until(lambda: not active.client.node.count_subscribers(f"{NODE}/points"), 5)
    active.clear()
    mask = active.wait_for_mask(**make_frame(active.make_header()))
    assert read_pixels(mask).any()

    def stages() -> set[str]:
        return {value.key for status in active.statuses()[-1:] for value in status.values if value.key.endswith("[ms]")}

    wait_until(lambda: "network [ms]" in stages() and not {"points [ms]", "clouds [ms]"} & stages(), 10)
