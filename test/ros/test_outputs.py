"""What a frame gives, as a consumer sees it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
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


@pytest.fixture(scope="module")
def frame(robot: RosClient) -> dict[str, object]:
    """All messages of one frame by topic."""
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
    heard = {topic: robot.listen(kind, topic) for topic, kind in types.items()}

    def complete() -> dict[str, object] | None:
        by_stamp = {topic: listener.by_stamp() for topic, listener in heard.items()}
        common = set.intersection(*(set(each) for each in by_stamp.values()))
        return {topic: each[max(common)] for topic, each in by_stamp.items()} if common else None

    found = wait_until(complete, 30, "no frame with everything")
    robot.unsubscribe(keep=kept)
    return {**found, "vocabulary": vocabulary}


def test_every_output_has_the_header_of_the_image(frame):
    header = frame["/rgb/image"].header
    assert all(message.header == header for topic, message in frame.items() if topic.startswith("/lseg"))


def test_mask_and_confidence_are_mono8_of_the_size_of_the_image_without_padding(frame):
    for topic in ("/lseg/mask", "/lseg/confidence"):
        message = frame[topic]
        assert (message.encoding, message.height, message.width) == ("mono8", 240, 320)
        assert message.step == message.width and len(message.data) == message.width * message.height


def test_mask_holds_only_ids_of_the_vocabulary_and_confidence_is_zero_where_it_is_unlabeled(frame):
    mask, confidence = read_pixels(frame["/lseg/mask"]), read_pixels(frame["/lseg/confidence"])
    assert set(np.unique(mask)) <= {0, *(label.id for label in frame["vocabulary"].labels)}
    assert ((confidence == 0) == (mask == 0)).all()


def test_the_organized_cloud_agrees_with_the_mask_point_by_point(frame):
    cloud = frame["/lseg/points"]
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "label", "confidence"]
    assert (cloud.height, cloud.width, cloud.is_dense, cloud.is_bigendian) == (240, 320, False, False)
    assert cloud.row_step == cloud.point_step * cloud.width
    points = read_points(cloud)
    assert (points["label"] == read_pixels(frame["/lseg/mask"])).all()
    assert np.allclose(points["confidence"], read_pixels(frame["/lseg/confidence"]) / 255, atol=1e-6)
    image = frame["/rgb/image"]
    rgb = np.frombuffer(image.data, np.uint8).reshape(240, 320, 3).astype(np.uint32)
    assert (
        np.ascontiguousarray(points["rgb"]).view("<u4") == (rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])
    ).all()


def test_every_point_projects_back_to_its_own_pixel_and_has_its_depth(frame):
    points, k = read_points(frame["/lseg/points"]), frame["/lseg/camera_info"].k
    row, column = np.indices(points.shape)
    known = np.isfinite(points["z"])
    assert known.mean() > 0.5
    x, y, z = (points[axis][known].astype(float) for axis in "xyz")
    off = np.hypot(k[0] * x / z + k[2] - column[known], k[4] * y / z + k[5] - row[known])
    assert off.max() < 0.75
    depth_mm = np.frombuffer(frame["/depth/image"].data, "<u2").reshape(240, 320)
    assert np.abs(depth_mm[known] / 1000 - z).max() < 1e-3
    assert (depth_mm[~known] == 0).all()
    assert all(np.isnan(points[axis][~known]).all() for axis in "xyz")


def test_each_label_cloud_holds_the_points_of_its_pixels(frame):
    organized = read_points(frame["/lseg/points"])
    for label in frame["vocabulary"].labels:
        cloud = frame[f"/lseg/points/{label.slug}"]
        assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]  # in an empty one too
        assert cloud.height == 1 and cloud.is_dense
        expected = organized[(organized["label"] == label.id) & np.isfinite(organized["z"])]
        points = read_points(cloud)[0]
        assert cloud.width == len(expected)
        for axis in "xyz":
            assert np.array_equal(points[axis], expected[axis])


def test_the_compressed_mask_is_the_mask(frame):
    message = frame["/lseg/mask/compressed"]
    assert message.format == "mono8; png compressed"
    mask = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask, read_pixels(frame["/lseg/mask"]))
    assert len(message.data) < mask.size / 4


def test_the_summary_says_what_mask_confidence_and_cloud_say(frame):
    summary, mask = frame["/lseg/summary"], read_pixels(frame["/lseg/mask"])
    confidence, points = read_pixels(frame["/lseg/confidence"]), read_points(frame["/lseg/points"])
    assert summary.epoch == frame["vocabulary"].epoch and summary.has_depth
    assert summary.unlabeled_share == pytest.approx((mask == 0).mean())
    in_view = [(label.id, label.name) for label in frame["vocabulary"].labels if (mask == label.id).any()]
    assert in_view and [(each.id, each.name) for each in summary.labels] == in_view
    for each in summary.labels:
        own = mask == each.id
        assert each.pixels == own.sum() and each.share == pytest.approx(own.mean(), rel=1e-5)
        assert each.confidence == pytest.approx(confidence[own].mean() / 255, rel=1e-4)
        xyz = np.stack([points[axis][own & np.isfinite(points["z"])] for axis in "xyz"], axis=1).astype(float)
        assert each.points == len(xyz) and each.has_distance == bool(len(xyz))
        if len(xyz):
            nearest = [each.nearest.x, each.nearest.y, each.nearest.z]
            assert each.distance == pytest.approx(np.linalg.norm(xyz, axis=1).min(), rel=1e-5)
            assert np.linalg.norm(nearest) == pytest.approx(each.distance, rel=1e-5)
            assert (np.abs(xyz - nearest).max(axis=1) < 1e-6).any()
            assert [each.centroid.x, each.centroid.y, each.centroid.z] == pytest.approx(list(xyz.mean(axis=0)))


def test_camera_info_is_the_one_of_the_image(frame):
    assert frame["/lseg/camera_info"] == frame["/rgb/camera_info"]


def test_overlay_is_a_picture_of_the_size_of_the_image(frame):
    overlay = frame["/lseg/overlay"]
    assert (overlay.encoding, overlay.height, overlay.width, overlay.step) == ("rgb8", 240, 320, 960)


@pytest.mark.parametrize("qos", [RELIABLE, BEST_EFFORT], ids=["reliable", "best effort"])
def test_subscribers_of_both_kinds_get_masks_in_the_order_of_their_stamps(robot: RosClient, qos):
    masks = robot.listen(Image, "/lseg/mask", qos).wait_for(5)
    stamps = [read_stamp_ns(each) for each in masks]
    assert stamps == sorted(set(stamps))


def test_max_rate_is_kept_on_average(robot: RosClient):
    assert robot.set_parameter("max_rate_hz", 2.0).successful
    try:
        masks = robot.listen(Image, "/lseg/mask")
        masks.wait_for(1)
        masks.wait_for(6)
        times = masks.received_s[1:]
        assert (len(times) - 1) / (times[-1] - times[0]) == pytest.approx(2.0, rel=0.25)
    finally:
        robot.set_parameter("max_rate_hz", 5.0)
