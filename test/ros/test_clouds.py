"""Clouds as planners take them: in every frame, within limits, and only while someone listens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2

from test.support.node_harness import NODE, NodeHarness, camera_info, depth, image
from test.support.ros_client import Listener, read_pixels, read_points, read_stamp_ns, wait_until

LABELS = ["floor", "wall"]
TOPICS = ["points", *(f"points/{name}" for name in LABELS)]


@pytest.fixture
def active(harness: NodeHarness) -> NodeHarness:
    assert harness.client.set_labels(LABELS, node=NODE).success
    harness.activate()
    harness.begin()
    return harness


@pytest.fixture
def clouds(active: NodeHarness) -> dict[str, Listener]:
    """What comes on ``TOPICS``, when the node knows that someone listens."""
    heard = {topic: active.client.listen(PointCloud2, f"{NODE}/{topic}") for topic in TOPICS}
    header = active.header()
    frame = {"image": image(header), "depth": depth(header), "info": camera_info(header)}
    wait_until(
        lambda: active.wait_for_mask(**frame) and all(each.messages for each in heard.values()),
        20,
        "a cloud is missing",
    )
    return heard


def clouds_of(harness: NodeHarness, clouds: dict[str, Listener], wall: Image) -> dict[str, PointCloud2]:
    """The clouds of one frame, of a depth image with its header, by topic."""
    harness.wait_for_mask(image=image(wall.header), depth=wall, info=camera_info(wall.header))
    stamp = read_stamp_ns(wall)
    wait_until(lambda: all(stamp in each.by_stamp() for each in clouds.values()), 10, "a cloud of the frame is missing")
    return {topic: each.by_stamp()[stamp] for topic, each in clouds.items()}


@pytest.fixture
def setting(active: NodeHarness) -> Iterator[object]:
    """Sets a parameter until the end of the test."""
    before: dict[str, object] = {}

    def change(name: str, value: object) -> None:
        before[name] = active.client.get_parameter(name, NODE)
        assert active.client.set_parameter(name, value, NODE).successful

    yield change
    for name, value in before.items():
        assert active.client.set_parameter(name, value, NODE).successful


def test_where_no_depth_is_known_every_label_has_an_empty_cloud_in_every_frame(active: NodeHarness, clouds):
    for _ in range(3):
        nothing = depth(active.header(), meters=np.nan)
        found = clouds_of(active, clouds, nothing)
        assert np.isnan(read_points(found["points"])["z"]).all()
        for name in LABELS:
            cloud = found[f"points/{name}"]
            assert (cloud.height, cloud.width, cloud.is_dense, len(cloud.data)) == (1, 0, True, 0)
            assert [(field.name, field.offset) for field in cloud.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
            assert cloud.point_step == 16


def test_labels_share_the_known_points_among_them(active: NodeHarness, clouds):
    found = clouds_of(active, clouds, depth(active.header(), meters=2.0))
    assert sum(found[f"points/{name}"].width for name in LABELS) == 48 * 64
    for name in LABELS:
        assert np.isfinite(read_points(found[f"points/{name}"])["z"]).all()


@pytest.mark.parametrize(("name", "meters"), [("depth_min_m", 1.0), ("depth_max_m", 3.0)])
def test_points_out_of_range_are_no_points(active: NodeHarness, clouds, setting, name: str, meters: float):
    setting(name, 2.0)
    found = clouds_of(active, clouds, depth(active.header(), meters))
    points = read_points(found["points"])
    assert all(np.isnan(points[axis]).all() for axis in "xyz")
    assert points["label"].all()  # the cloud still says what the mask says
    assert not any(found[f"points/{label}"].width for label in LABELS)


def test_voxels_thin_the_clouds_of_labels_and_leave_the_organized_one(active: NodeHarness, clouds, setting):
    setting("voxel_size_m", 0.5)
    found = clouds_of(active, clouds, depth(active.header(), meters=2.0))
    assert np.isfinite(read_points(found["points"])["z"]).all()
    for name in LABELS:
        xyz = np.stack([read_points(found[f"points/{name}"])[axis].ravel() for axis in "xyz"], axis=1)
        assert len(np.unique(np.floor(xyz / 0.5), axis=0)) == len(xyz) < 48 * 64 / 10


@pytest.mark.parametrize("big", [False, True], ids=["little endian", "big endian"])
def test_millimetres_in_any_byte_order_with_padded_rows_and_holes_are_read(active: NodeHarness, clouds, big: bool):
    header = active.header()
    millimeters = np.full((48, 64), 2500, ">u2" if big else "<u2")
    millimeters[10:20] = 0
    rows = np.pad(millimeters.view(np.uint8).reshape(48, -1), ((0, 0), (0, 6)), constant_values=7)
    wall = Image(header=header, height=48, width=64, encoding="16UC1", is_bigendian=big, step=rows.shape[1])
    wall.data.frombytes(rows.tobytes())
    z = read_points(clouds_of(active, clouds, wall)["points"])["z"]
    assert np.isnan(z[10:20]).all()
    assert np.allclose(np.delete(z, slice(10, 20), axis=0), 2.5)


def test_no_cloud_is_made_that_nobody_listens_to(active: NodeHarness):
    wait_until(lambda: not active.client.node.count_subscribers(f"{NODE}/points"), 5)
    active.begin()
    header = active.header()
    mask = active.wait_for_mask(image=image(header), depth=depth(header), info=camera_info(header))
    assert read_pixels(mask).any()

    def stages() -> set[str]:
        return {each.key for status in active.statuses()[-1:] for each in status.values if each.key.endswith("[ms]")}

    wait_until(lambda: "network [ms]" in stages() and not {"points [ms]", "clouds [ms]"} & stages(), 10)
