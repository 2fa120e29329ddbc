"""What should not happen happens: it is named in diagnostics, and the next good frame comes through."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from test.support.node_harness import BENCH, NODE, NodeHarness, camera_info, depth, image
from test.support.ros_client import LATCHED, RELIABLE, pixels_of, points_of, wait_until


@pytest.fixture
def active(bench: NodeHarness) -> NodeHarness:
    bench.activate()
    bench.begin()
    return bench


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "mono8"])
def test_images_with_padded_rows_give_masks_without(active: NodeHarness, encoding):
    mask = active.mask_of(image=image(active.header(), encoding, pad=7))
    assert (mask.height, mask.width, mask.step, len(mask.data)) == (48, 64, 64, 48 * 64)


def test_padding_changes_nothing(active: NodeHarness):
    def mask_of(picture: Image) -> np.ndarray:
        return pixels_of(active.mask_of(image=picture))

    plain, padded = image(active.header()), image(active.header(), pad=5)
    rows = np.frombuffer(padded.data, np.uint8).reshape(48, -1)[:, : 64 * 3]
    plain.data = type(plain.data)("B", rows.tobytes())
    assert np.array_equal(mask_of(plain), mask_of(padded))


def test_an_unknown_encoding_is_named_and_survived(active: NodeHarness):
    active.send(image=image(active.header(), "octarine8"))
    status = active.complaint("octarine8")
    assert status.level == b"\x02"
    active.mask_of(image=image(active.header()))


def test_an_image_shorter_than_it_says_is_named_and_survived(active: NodeHarness):
    broken = image(active.header())
    broken.data = broken.data[:100]
    active.send(image=broken)
    active.complaint("bytes of data")
    active.mask_of(image=image(active.header()))


def test_an_image_of_another_size_is_just_the_next_frame(active: NodeHarness):
    assert active.mask_of(image=image(active.header(), height=40, width=72)).width == 72
    assert active.mask_of(image=image(active.header())).width == 64


def frame(header: Header, **changes: object) -> dict[str, object]:
    return {"image": image(header), "depth": depth(header), "info": camera_info(header), **changes}


def cloud_of(bench: NodeHarness, **messages: object) -> PointCloud2 | None:
    """The cloud of a frame; None where there is a mask but no cloud.

    The frame is sent again for a while: that someone listens the node learns later than we do.
    """
    clouds = bench.consumer.listen(PointCloud2, f"{NODE}/points")
    for _ in range(8):
        mask = bench.mask_of(**messages)
        with suppress(AssertionError):
            wait_until(lambda: clouds.messages, 0.3)
            break
    else:
        return None
    assert clouds.messages[-1].header == mask.header
    return clouds.messages[-1]


def test_depth_and_camera_info_of_the_same_stamp_give_a_cloud(active: NodeHarness):
    points = points_of(cloud_of(active, **frame(active.header())))
    assert np.allclose(points["z"], 2.0)


def test_depth_of_half_the_size_gives_a_point_for_every_pixel_of_the_mask(active: NodeHarness):
    header = active.header()
    points = points_of(cloud_of(active, **frame(header, depth=depth(header, 3.0, 24, 32))))
    assert points.shape == (48, 64) and np.allclose(points["z"], 3.0)


def test_depth_a_little_off_is_matched_and_keeps_the_header_of_the_image(active: NodeHarness):
    near = active.header(later_s=-0.03)
    cloud = cloud_of(active, **frame(active.header(), depth=depth(near)))
    assert cloud is not None and cloud.header.stamp != near.stamp


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda bench, header: {"depth": depth(bench.header("another_frame"))}, "another_frame"),
        (lambda bench, header: {"depth": depth(bench.header(later_s=-0.5))}, "sync_slop_s"),
        (lambda bench, header: {"depth": depth(header, height=48, width=32)}, "aspect"),
        (lambda bench, header: {"depth": image(header, "rgb8")}, "encoding of depth"),
        (lambda bench, header: {"info": camera_info(header, focal=0.0)}, "K[0] = 0"),
        (lambda bench, header: {"info": camera_info(header, width=32)}, "intrinsics"),
    ],
    ids=["other frame", "no match", "other aspect", "no depth", "uncalibrated", "other size"],
)
def test_unusable_depth_or_camera_info_costs_the_cloud_only_and_is_named(active: NodeHarness, change, named):
    header = active.header()
    assert cloud_of(active, **frame(header, **change(active, header))) is None
    active.complaint(named)


def test_a_lens_with_distortion_is_told_what_is_assumed_once(active: NodeHarness):
    clouds = [
        cloud_of(active, **frame(header, info=distorted(header))) for header in (active.header(), active.header())
    ]
    assert all(points_of(each).shape == (48, 64) for each in clouds)
    active.complaint("which assumes a rectified image")
    assert active.process.output.count("which assumes a rectified image") == 1


def distorted(header: Header) -> CameraInfo:
    info = camera_info(header)
    info.distortion_model, info.d = "plumb_bob", [0.1, -0.2, 0.0, 0.0, 0.0]
    return info


@pytest.mark.parametrize(("model", "coefficients"), [("equidistant", 4), ("plumb_bob", 5), ("", 0)])
def test_a_lens_without_distortion_is_told_nothing(active: NodeHarness, model, coefficients):
    before = active.process.output.count("rectified")
    info = camera_info(active.header())
    info.distortion_model, info.d = model, [0.0] * coefficients
    assert cloud_of(active, **frame(info.header, info=info)) is not None
    assert active.process.output.count("rectified") == before


def test_a_summary_without_depth_has_no_distances(active: NodeHarness):
    summaries = active.consumer.listen(SegmentationSummary, f"{NODE}/summary")
    picture = image(active.header())
    wait_until(lambda: active.mask_of(image=picture) and summaries.messages, 10, "no summary")
    summary = summaries.messages[-1]
    assert summary.header == picture.header and not summary.has_depth and summary.labels
    for each in summary.labels:
        assert not each.has_distance and each.points == 0
        assert np.isnan([each.distance, each.nearest.x, each.nearest.z, each.centroid.y]).all()


def test_a_subscriber_whose_qos_does_not_match_is_named(active: NodeHarness):
    active.consumer.listen(Image, f"{NODE}/mask", LATCHED)
    active.complaint("~/mask: a subscriber requests a QoS")


def test_old_images_are_dropped_and_the_advice_is_use_sim_time(active: NodeHarness):
    assert active.consumer.set_parameter("max_frame_age_s", 1.0, NODE).successful
    try:
        masks = active.consumer.listen(Image, f"{NODE}/mask", RELIABLE)
        active.send(image=image(active.header(later_s=-3600)))
        status = active.complaint("use_sim_time")
        assert {each.key: each.value for each in status.values}["dropped: older than max_frame_age_s"] != "0"
        assert not masks.messages
    finally:
        active.consumer.set_parameter("max_frame_age_s", 0.0, NODE)


def test_no_image_at_all_is_named_with_the_topic_to_remap(active: NodeHarness):
    status = active.complaint("rgb/image")
    assert f"{BENCH}/rgb/image" in status.message


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
    before = active.consumer.get_parameter(name, NODE)
    result = active.consumer.set_parameter(name, value, NODE)
    assert not result.successful and named in result.reason
    assert active.consumer.get_parameter(name, NODE) == before
