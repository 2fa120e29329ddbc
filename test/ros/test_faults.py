"""Tests of bad input: diagnostics name the fault, and the next good frame is processed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
from lseg_ros.srv import QueryLabel
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from test.support.node_harness import (
    NAMESPACE,
    NODE,
    NodeHarness,
    make_camera_info,
    make_depth,
    make_frame,
    make_image,
)
from test.support.ros_client import LATCHED, RELIABLE, read_pixels, read_points, wait_until


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "mono8"])
def test_images_with_padded_rows_give_masks_without_padding(active: NodeHarness, encoding: str) -> None:
    mask = active.wait_for_mask(image=make_image(active.make_header(), encoding, padding=7))
    assert (mask.height, mask.width, mask.step, len(mask.data)) == (48, 64, 64, 48 * 64)


def test_padding_does_not_change_the_mask(active: NodeHarness) -> None:
    plain, padded = make_image(active.make_header()), make_image(active.make_header(), padding=5)
    rows = np.frombuffer(padded.data, np.uint8).reshape(48, -1)[:, : 64 * 3]
    plain.data = type(plain.data)("B", rows.tobytes())
    plain_mask, padded_mask = (read_pixels(active.wait_for_mask(image=image)) for image in (plain, padded))
    assert np.array_equal(plain_mask, padded_mask)


def test_unknown_encoding_is_reported(active: NodeHarness) -> None:
    active.send(image=make_image(active.make_header(), "octarine8"))
    status = active.wait_for_status("octarine8")
    assert status.level == b"\x02"
    active.wait_for_mask(image=make_image(active.make_header()))


def test_image_with_too_few_bytes_is_reported(active: NodeHarness) -> None:
    image = make_image(active.make_header())
    image.data = image.data[:100]
    active.send(image=image)
    active.wait_for_status("bytes of data")
    active.wait_for_mask(image=make_image(active.make_header()))


def test_image_size_may_change(active: NodeHarness) -> None:
    assert active.wait_for_mask(image=make_image(active.make_header(), height=40, width=72)).width == 72
    assert active.wait_for_mask(image=make_image(active.make_header())).width == 64


def find_cloud(active: NodeHarness, **messages: Any) -> Any:
    """Send a frame and return its cloud, or None if it has a mask but no cloud.

    The frame is sent up to eight times, because the node discovers the subscriber of the cloud with a delay.
    """
    clouds, header = active.client.listen(PointCloud2, f"{NODE}/points"), messages["image"].header
    for _ in range(8):
        active.wait_for_mask(**messages)
        with suppress(AssertionError):  # clouds of earlier frames may arrive late
            return wait_until(lambda: [cloud for cloud in clouds.messages if cloud.header == header], 0.3)[-1]
    return None


def test_depth_and_camera_info_with_the_same_stamp_give_a_cloud(active: NodeHarness) -> None:
    points = read_points(find_cloud(active, **make_frame(active.make_header())))
    assert np.allclose(points["z"], 2.0)


def test_depth_of_half_the_size_gives_a_point_for_every_pixel_of_the_mask(active: NodeHarness) -> None:
    header = active.make_header()
    points = read_points(find_cloud(active, **make_frame(header, depth=make_depth(header, 3.0, 24, 32))))
    assert points.shape == (48, 64)
    assert np.allclose(points["z"], 3.0)


def test_cloud_from_depth_with_a_slightly_different_stamp_has_the_header_of_the_image(active: NodeHarness) -> None:
    depth_header = active.make_header(offset_s=-0.03)
    cloud = find_cloud(active, **make_frame(active.make_header(), depth=make_depth(depth_header)))
    assert cloud is not None
    assert cloud.header.stamp != depth_header.stamp


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda active, header: {"depth": make_depth(active.make_header("another_frame"))}, "another_frame"),
        (lambda active, header: {"depth": make_depth(active.make_header(offset_s=-0.5))}, "sync_slop_s"),
        (lambda active, header: {"depth": make_depth(header, height=48, width=32)}, "aspect"),
        (lambda active, header: {"depth": make_image(header, "rgb8")}, "encoding of depth"),
        (lambda active, header: {"info": make_camera_info(header, focal=0.0)}, "K[0] = 0"),
        (lambda active, header: {"info": make_camera_info(header, width=32)}, "intrinsics"),
    ],
    ids=["other frame_id", "no match", "other aspect ratio", "not a depth image", "uncalibrated", "other size"],
)
def test_frame_with_unusable_depth_or_camera_info_has_a_mask_but_no_cloud(
    active: NodeHarness, change: Callable[[NodeHarness, Header], dict[str, Any]], text: str
) -> None:
    header = active.make_header()
    assert find_cloud(active, **make_frame(header, **change(active, header))) is None
    active.wait_for_status(text)


def make_lens(header: Header, model: str, coefficients: list[float]) -> CameraInfo:
    """Make the camera_info of a lens with a distortion model."""
    info = make_camera_info(header)
    info.distortion_model, info.d = model, coefficients
    return info


def test_lens_distortion_is_reported_once(active: NodeHarness) -> None:
    for header in (active.make_header(), active.make_header()):
        info = make_lens(header, "plumb_bob", [0.1, -0.2, 0.0, 0.0, 0.0])
        assert read_points(find_cloud(active, **make_frame(header, info=info))).shape == (48, 64)
    active.wait_for_status("which assumes a rectified image")
    assert active.process.output.count("which assumes a rectified image") == 1


@pytest.mark.parametrize(("model", "count"), [("equidistant", 4), ("plumb_bob", 5), ("", 0)])
def test_lens_without_distortion_is_not_reported(active: NodeHarness, model: str, count: int) -> None:
    before = active.process.output.count("rectified")
    header = active.make_header()
    info = make_lens(header, model, [0.0] * count)
    assert find_cloud(active, **make_frame(header, info=info)) is not None
    assert active.process.output.count("rectified") == before


def test_summary_without_depth_has_no_distances(active: NodeHarness) -> None:
    summaries = active.client.listen(SegmentationSummary, f"{NODE}/summary")
    image = make_image(active.make_header())
    wait_until(lambda: active.wait_for_mask(image=image) and summaries.messages, 10, "no summary")
    summary = summaries.messages[-1]
    assert summary.header == image.header
    assert not summary.has_depth
    assert summary.labels
    for label in summary.labels:
        assert not label.has_distance
        assert label.points == 0
        assert np.isnan([label.distance, label.nearest.x, label.nearest.z, label.centroid.y]).all()


def test_subscriber_with_incompatible_qos_is_reported(active: NodeHarness) -> None:
    active.client.listen(Image, f"{NODE}/mask", LATCHED)
    active.wait_for_status("~/mask: a subscriber requests a QoS")


def test_old_images_are_dropped_and_use_sim_time_is_advised(active: NodeHarness) -> None:
    assert active.client.set_parameter("max_frame_age_s", 1.0, NODE).successful
    try:
        masks = active.client.listen(Image, f"{NODE}/mask", RELIABLE)
        active.send(image=make_image(active.make_header(offset_s=-3600)))
        status = active.wait_for_status("use_sim_time")
        assert {value.key: value.value for value in status.values}["dropped: older than max_frame_age_s"] != "0"
        assert not masks.messages
    finally:
        active.client.set_parameter("max_frame_age_s", 0.0, NODE)


def test_missing_images_are_reported_with_the_topic_to_remap(active: NodeHarness) -> None:
    status = active.wait_for_status("nothing arrived for 3 s")
    assert f"{NAMESPACE}/rgb/image" in status.message


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_rate_hz", -1.0, "max_rate_hz"),
        ("unlabeled_threshold", 1.5, "unlabeled_threshold"),
        ("depth_min_m", float("nan"), "depth_min_m"),
        ("checkpoint", "another", "read-only"),
        ("max_rate_hz", "fast", "max_rate_hz: expected a double, got the string 'fast'"),
        ("labels", [12, 13], "labels: expected a string array, got the integer array '[12, 13]'; YAML reads words"),
        ("labels", "[floor, nan]", "labels: expected a string array, got the string '[floor, nan]'; YAML reads words"),
    ],
)
def test_rejects_invalid_parameters_with_their_names(active: NodeHarness, name: str, value: Any, text: str) -> None:
    before = active.client.get_parameter(name, NODE)
    result = active.client.set_parameter(name, value, NODE)
    assert not result.successful
    assert text in result.reason
    assert active.client.get_parameter(name, NODE) == before


def damage(message: Any, fault: str) -> Any:
    """Serialize a message and damage it in a way that DDS does not detect."""
    octets = bytearray(serialize_message(message))
    if fault == "frame_id is not UTF-8":
        octets[16] = 0xFF
    elif fault == "truncated":
        del octets[40:]
    else:
        octets[12:16] = (2**31).to_bytes(4, "little")  # frame_id longer than the message
    return bytes(octets)


@pytest.mark.parametrize("topic", ["depth", "info"])
@pytest.mark.parametrize("fault", ["frame_id is not UTF-8", "truncated", "length"])
def test_unreadable_depth_or_camera_info_costs_only_itself(active: NodeHarness, topic: str, fault: str) -> None:
    header = active.make_header()
    messages: dict[str, Any] = {"depth": make_depth(header), "info": make_camera_info(header)}
    messages[topic] = damage(messages[topic], fault)
    active.wait_for_mask(image=make_image(header), **messages)
    request = QueryLabel.Request(text="floor", no_image=True)
    assert active.client.call_with_retry(QueryLabel, f"{NODE}/query", request).success
    for enabled in (False, True):
        response = active.client.call_with_retry(SetBool, f"{NODE}/enable", SetBool.Request(data=enabled))
        assert response.success
    active.activate()
    active.wait_for_mask(**make_frame(active.make_header()))
    assert active.process.alive


def test_request_with_a_parameter_of_an_unknown_type_is_answered(active: NodeHarness) -> None:
    parameters = [Parameter(name="labels", value=ParameterValue(type=10))]
    request = SetParameters.Request(parameters=parameters)
    (result,) = active.client.call(SetParameters, f"{NODE}/set_parameters", request).results
    request = SetParametersAtomically.Request(parameters=parameters)
    results = [result, active.client.call(SetParametersAtomically, f"{NODE}/set_parameters_atomically", request).result]
    for result in results:
        assert not result.successful
        assert "10" in result.reason
    active.wait_for_mask(image=make_image(active.make_header()))


def test_text_of_a_sender_cannot_forge_a_line_of_the_log(active: NodeHarness) -> None:
    forged = "octarine8\n[FATAL] [1.0] [lseg]: \x1b[31mout of memory" + 1000 * "x"
    active.send(image=make_image(active.make_header(), forged))
    status = active.wait_for_status(r"octarine8\n[FATAL]")
    assert status.message.isprintable()
    assert 50 * "x" not in status.message
    wait_until(lambda: r"octarine8\n[FATAL]" in active.process.output, 10)
    assert "\n[FATAL]" not in active.process.output
