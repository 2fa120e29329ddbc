"""Tests of the messages of one frame, as a subscriber sees them."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from test.support.ros_client import (
    BEST_EFFORT,
    RELIABLE,
    RosClient,
    read_pixels,
    read_points,
    read_stamp_ns,
    wait_until,
)

LABELS = ["wall", "door", "unicorn"]
Messages = dict[str, Any]


@pytest.fixture(scope="module")
def frame(robot: RosClient) -> Messages:
    """All messages of one frame by topic, and its vocabulary."""
    kept = robot.unsubscribe(keep=10**6)
    vocabulary = robot.set_labels(LABELS).vocabulary
    types = {
        "/rgb/image": Image,
        "/rgb/camera_info": CameraInfo,
        "/depth/image": Image,
        "/lseg/mask": Image,
        "/lseg/mask/compressed": CompressedImage,
        "/lseg/summary": SegmentationSummary,
        "/lseg/confidence": Image,
        "/lseg/camera_info": CameraInfo,
        "/lseg/overlay": Image,
        "/lseg/points": PointCloud2,
        **{f"/lseg/points/{label.slug}": PointCloud2 for label in vocabulary.labels},
    }
    listeners = {topic: robot.listen(message_type, topic) for topic, message_type in types.items()}

    def find_complete_frame() -> Messages | None:
        by_stamp = {topic: listener.by_stamp() for topic, listener in listeners.items()}
        common = set.intersection(*(set(messages) for messages in by_stamp.values()))
        return {topic: messages[max(common)] for topic, messages in by_stamp.items()} if common else None

    messages: Messages = wait_until(find_complete_frame, 30, "no complete frame")
    robot.unsubscribe(keep=kept)
    return {**messages, "vocabulary": vocabulary}


def test_every_output_has_the_header_of_the_image(frame: Messages) -> None:
    header = frame["/rgb/image"].header
    assert all(message.header == header for topic, message in frame.items() if topic.startswith("/lseg"))


def test_mask_and_confidence_are_mono8_with_the_size_of_the_image_and_no_padding(frame: Messages) -> None:
    for topic in ("/lseg/mask", "/lseg/confidence"):
        message = frame[topic]
        assert (message.encoding, message.height, message.width) == ("mono8", 240, 320)
        assert message.step == message.width
        assert len(message.data) == message.width * message.height


def test_mask_contains_ids_of_the_vocabulary_and_unlabeled_pixels_have_no_confidence(frame: Messages) -> None:
    mask, confidence = read_pixels(frame["/lseg/mask"]), read_pixels(frame["/lseg/confidence"])
    assert set(np.unique(mask)) <= {0, *(label.id for label in frame["vocabulary"].labels)}
    assert ((confidence == 0) == (mask == 0)).all()


def test_organized_cloud_has_the_labels_confidences_and_colors_of_the_images(frame: Messages) -> None:
    cloud = frame["/lseg/points"]
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "label", "confidence"]
    assert (cloud.height, cloud.width, cloud.is_dense, cloud.is_bigendian) == (240, 320, False, False)
    assert cloud.row_step == cloud.point_step * cloud.width
    points = read_points(cloud)
    assert (points["label"] == read_pixels(frame["/lseg/mask"])).all()
    assert np.allclose(points["confidence"], read_pixels(frame["/lseg/confidence"]) / 255, atol=1e-6)
    image = frame["/rgb/image"]
    rgb = np.frombuffer(image.data, np.uint8).reshape(240, 320, 3).astype(np.uint32)
    packed = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    assert (np.ascontiguousarray(points["rgb"]).view("<u4") == packed).all()


def test_points_project_to_their_pixels_and_have_their_depth(frame: Messages) -> None:
    points, k = read_points(frame["/lseg/points"]), frame["/lseg/camera_info"].k
    row, column = np.mgrid[: points.shape[0], : points.shape[1]]
    valid = np.isfinite(points["z"])
    assert valid.mean() > 0.5
    x, y, z = (points[axis][valid].astype(float) for axis in "xyz")
    error_px = np.hypot(k[0] * x / z + k[2] - column[valid], k[4] * y / z + k[5] - row[valid])
    assert error_px.max() < 0.75
    depth_mm = np.frombuffer(frame["/depth/image"].data, "<u2").reshape(240, 320)
    assert np.abs(depth_mm[valid] / 1000 - z).max() < 1e-3
    assert (depth_mm[~valid] == 0).all()
    assert all(np.isnan(points[axis][~valid]).all() for axis in "xyz")


def test_label_clouds_contain_the_points_of_their_pixels(frame: Messages) -> None:
    organized = read_points(frame["/lseg/points"])
    for label in frame["vocabulary"].labels:
        cloud = frame[f"/lseg/points/{label.slug}"]
        assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]  # also if the cloud is empty
        assert cloud.height == 1
        assert cloud.is_dense
        expected = organized[(organized["label"] == label.id) & np.isfinite(organized["z"])]
        points = read_points(cloud)[0]
        assert cloud.width == len(expected)
        for axis in "xyz":
            assert np.array_equal(points[axis], expected[axis])


def test_compressed_mask_equals_the_mask(frame: Messages) -> None:
    message = frame["/lseg/mask/compressed"]
    assert message.format == "mono8; png compressed"
    mask = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert np.array_equal(mask, read_pixels(frame["/lseg/mask"]))
    assert len(message.data) < mask.size / 4


def test_summary_agrees_with_mask_confidence_and_cloud(frame: Messages) -> None:
    summary, mask = frame["/lseg/summary"], read_pixels(frame["/lseg/mask"])
    confidence, points = read_pixels(frame["/lseg/confidence"]), read_points(frame["/lseg/points"])
    assert summary.epoch == frame["vocabulary"].epoch
    assert summary.has_depth
    assert summary.unlabeled_share == pytest.approx((mask == 0).mean())
    in_view = [(label.id, label.name) for label in frame["vocabulary"].labels if (mask == label.id).any()]
    assert in_view
    assert [(label.id, label.name) for label in summary.labels] == in_view
    for label in summary.labels:
        pixels = mask == label.id
        assert label.pixels == pixels.sum()
        assert label.share == pytest.approx(pixels.mean(), rel=1e-5)
        assert label.confidence == pytest.approx(confidence[pixels].mean() / 255, rel=1e-4)
        xyz = np.stack([points[axis][pixels & np.isfinite(points["z"])] for axis in "xyz"], axis=1).astype(float)
        assert label.points == len(xyz)
        assert label.has_distance == bool(len(xyz))
        if len(xyz):
            nearest = [label.nearest.x, label.nearest.y, label.nearest.z]
            assert label.distance == pytest.approx(np.linalg.norm(xyz, axis=1).min(), rel=1e-5)
            assert np.linalg.norm(nearest) == pytest.approx(label.distance, rel=1e-5)
            assert (np.abs(xyz - nearest).max(axis=1) < 1e-6).any()
            assert [label.centroid.x, label.centroid.y, label.centroid.z] == pytest.approx(list(xyz.mean(axis=0)))


def test_camera_info_is_that_of_the_image(frame: Messages) -> None:
    assert frame["/lseg/camera_info"] == frame["/rgb/camera_info"]


def test_overlay_is_rgb8_with_the_size_of_the_image(frame: Messages) -> None:
    overlay = frame["/lseg/overlay"]
    assert (overlay.encoding, overlay.height, overlay.width, overlay.step) == ("rgb8", 240, 320, 960)


@pytest.mark.parametrize("qos", [RELIABLE, BEST_EFFORT], ids=["reliable", "best effort"])
def test_reliable_and_best_effort_subscribers_get_masks_in_order(robot: RosClient, qos: QoSProfile) -> None:
    masks = robot.listen(Image, "/lseg/mask", qos).wait_for(5)
    stamps = [read_stamp_ns(mask) for mask in masks]
    assert stamps == sorted(set(stamps))


def test_a_higher_max_rate_applies_at_once(robot: RosClient) -> None:
    masks = robot.listen(Image, "/lseg/mask")
    try:
        for rate_hz in (0.05, 5e-324):  # 20 s, and no mask at all
            assert robot.set_parameter("max_rate_hz", rate_hz).successful
            time.sleep(1.0)  # images arrive at this rate
            assert robot.set_parameter("max_rate_hz", 5.0).successful
            masks.wait_for(2, timeout_s=10.0)
    finally:
        robot.set_parameter("max_rate_hz", 5.0)


def test_max_rate_limits_the_average_rate(robot: RosClient) -> None:
    assert robot.set_parameter("max_rate_hz", 2.0).successful
    try:
        masks = robot.listen(Image, "/lseg/mask")
        masks.wait_for(9)
        # Stamps, because a busy machine delivers masks late. The first one may be from before the change.
        stamps_s = [mask.header.stamp.sec + mask.header.stamp.nanosec / 1e9 for mask in masks.messages[1:9]]
        assert (len(stamps_s) - 1) / (stamps_s[-1] - stamps_s[0]) == pytest.approx(2.0, rel=0.25)
    finally:
        robot.set_parameter("max_rate_hz", 5.0)
