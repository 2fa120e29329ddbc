"""What should not happen happens: it is named in diagnostics, and the next good frame comes through."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from test.support.node_harness import NAMESPACE, NODE, NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import LATCHED, RELIABLE, read_pixels, read_points, wait_until


@pytest.fixture
def active(harness: NodeHarness) -> NodeHarness:
    harness.activate()
    harness.clear()
    return harness


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "mono8"])
def test_images_with_padded_rows_give_masks_without(active: NodeHarness, encoding):
    mask = active.wait_for_mask(image=make_image(active.make_header(), encoding, padding=7))
    assert (mask.height, mask.width, mask.step, len(mask.data)) == (48, 64, 64, 48 * 64)


def test_padding_changes_nothing(active: NodeHarness):
    def mask_of(picture: Image) -> np.ndarray:
        return read_pixels(active.wait_for_mask(image=picture))

    plain, padded = make_image(active.make_header()), make_image(active.make_header(), padding=5)
    rows = np.frombuffer(padded.data, np.uint8).reshape(48, -1)[:, : 64 * 3]
    plain.data = type(plain.data)("B", rows.tobytes())
    assert np.array_equal(mask_of(plain), mask_of(padded))


def test_an_unknown_encoding_is_named_and_survived(active: NodeHarness):
    active.send(image=make_image(active.make_header(), "octarine8"))
    status = active.wait_for_status("octarine8")
    assert status.level == b"\x02"
    active.wait_for_mask(image=make_image(active.make_header()))


def test_an_image_shorter_than_it_says_is_named_and_survived(active: NodeHarness):
    broken = make_image(active.make_header())
    broken.data = broken.data[:100]
    active.send(image=broken)
    active.wait_for_status("bytes of data")
    active.wait_for_mask(image=make_image(active.make_header()))


def test_an_image_of_another_size_is_just_the_next_frame(active: NodeHarness):
    assert active.wait_for_mask(image=make_image(active.make_header(), height=40, width=72)).width == 72
    assert active.wait_for_mask(image=make_image(active.make_header())).width == 64


def frame(header: Header, **changes: object) -> dict[str, object]:
    return {"image": make_image(header), "depth": make_depth(header), "info": make_camera_info(header), **changes}


def cloud_of(harness: NodeHarness, **messages: object) -> PointCloud2 | None:
    """The cloud of a frame; None where there is a mask but no cloud.

    The frame is sent again for a while: that someone listens the node learns later than we do.
    """
    clouds = harness.client.listen(PointCloud2, f"{NODE}/points")
    for _ in range(8):
        mask = harness.wait_for_mask(**messages)
        with suppress(AssertionError):
            wait_until(lambda: clouds.messages, 0.3)
            break
    else:
        return None
    assert clouds.messages[-1].header == mask.header
    return clouds.messages[-1]


def test_depth_and_camera_info_of_the_same_stamp_give_a_cloud(active: NodeHarness):
    points = read_points(cloud_of(active, **frame(active.make_header())))
    assert np.allclose(points["z"], 2.0)


def test_depth_of_half_the_size_gives_a_point_for_every_pixel_of_the_mask(active: NodeHarness):
    header = active.make_header()
    points = read_points(cloud_of(active, **frame(header, depth=make_depth(header, 3.0, 24, 32))))
    assert points.shape == (48, 64) and np.allclose(points["z"], 3.0)


def test_depth_a_little_off_is_matched_and_keeps_the_header_of_the_image(active: NodeHarness):
    near = active.make_header(offset_s=-0.03)
    cloud = cloud_of(active, **frame(active.make_header(), depth=make_depth(near)))
    assert cloud is not None and cloud.header.stamp != near.stamp


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda harness, header: {"depth": make_depth(harness.make_header("another_frame"))}, "another_frame"),
        (lambda harness, header: {"depth": make_depth(harness.make_header(offset_s=-0.5))}, "sync_slop_s"),
        (lambda harness, header: {"depth": make_depth(header, height=48, width=32)}, "aspect"),
        (lambda harness, header: {"depth": make_image(header, "rgb8")}, "encoding of depth"),
        (lambda harness, header: {"info": make_camera_info(header, focal=0.0)}, "K[0] = 0"),
        (lambda harness, header: {"info": make_camera_info(header, width=32)}, "intrinsics"),
    ],
    ids=["other frame", "no match", "other aspect", "no depth", "uncalibrated", "other size"],
)
def test_unusable_depth_or_camera_info_costs_the_cloud_only_and_is_named(active: NodeHarness, change, named):
    header = active.make_header()
    assert cloud_of(active, **frame(header, **change(active, header))) is None
    active.wait_for_status(named)


def test_a_lens_with_distortion_is_told_what_is_assumed_once(active: NodeHarness):
    clouds = [
        cloud_of(active, **frame(header, info=distorted(header)))
        for header in (active.make_header(), active.make_header())
    ]
    assert all(read_points(each).shape == (48, 64) for each in clouds)
    active.wait_for_status("which assumes a rectified image")
    assert active.process.output.count("which assumes a rectified image") == 1


def distorted(header: Header) -> CameraInfo:
    info = make_camera_info(header)
    info.distortion_model, info.d = "plumb_bob", [0.1, -0.2, 0.0, 0.0, 0.0]
    return info


@pytest.mark.parametrize(("model", "coefficients"), [("equidistant", 4), ("plumb_bob", 5), ("", 0)])
def test_a_lens_without_distortion_is_told_nothing(active: NodeHarness, model, coefficients):
    before = active.process.output.count("rectified")
    info = make_camera_info(active.make_header())
    info.distortion_model, info.d = model, [0.0] * coefficients
    assert cloud_of(active, **frame(info.header, info=info)) is not None
    assert active.process.output.count("rectified") == before


def test_a_summary_without_depth_has_no_distances(active: NodeHarness):
    summaries = active.client.listen(SegmentationSummary, f"{NODE}/summary")
    picture = make_image(active.make_header())
    wait_until(lambda: active.wait_for_mask(image=picture) and summaries.messages, 10, "no summary")
    summary = summaries.messages[-1]
    assert summary.header == picture.header and not summary.has_depth and summary.labels
    for each in summary.labels:
        assert not each.has_distance and each.points == 0
        assert np.isnan([each.distance, each.nearest.x, each.nearest.z, each.centroid.y]).all()


def test_a_subscriber_whose_qos_does_not_match_is_named(active: NodeHarness):
    active.client.listen(Image, f"{NODE}/mask", LATCHED)
    active.wait_for_status("~/mask: a subscriber requests a QoS")


def test_old_images_are_dropped_and_the_advice_is_use_sim_time(active: NodeHarness):
    assert active.client.set_parameter("max_frame_age_s", 1.0, NODE).successful
    try:
        masks = active.client.listen(Image, f"{NODE}/mask", RELIABLE)
        active.send(image=make_image(active.make_header(offset_s=-3600)))
        status = active.wait_for_status("use_sim_time")
        assert {each.key: each.value for each in status.values}["dropped: older than max_frame_age_s"] != "0"
        assert not masks.messages
    finally:
        active.client.set_parameter("max_frame_age_s", 0.0, NODE)


def test_no_image_at_all_is_named_with_the_topic_to_remap(active: NodeHarness):
    status = active.wait_for_status("rgb/image")
    assert f"{NAMESPACE}/rgb/image" in status.message


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("max_rate_hz", -1.0, "max_rate_hz"),
        ("unlabeled_threshold", 1.5, "unlabeled_threshold"),
        ("depth_min_m", float("nan"), "depth_min_m"),
        ("checkpoint", "another", "read-only"),
        ("max_rate_hz", "fast", "type"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(active: NodeHarness, name, value, named):
    before = active.client.get_parameter(name, NODE)
    result = active.client.set_parameter(name, value, NODE)
    assert not result.successful and named in result.reason
    assert active.client.get_parameter(name, NODE) == before
