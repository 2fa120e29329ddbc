"""Tests of ~/query, which finds a text in the last processed frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lseg_ros.msg import Vocabulary
from lseg_ros.srv import QueryLabel
from sensor_msgs.msg import Image

from test.support.node_harness import NODE, NodeHarness, make_depth, make_frame, make_image
from test.support.ros_client import LATCHED, LSEG, RosClient, read_pixels, read_stamp_ns, wait_until


def query(client: RosClient, text: str, node: str = LSEG, **fields: Any) -> Any:
    """Call ~/query and return the response."""
    return client.call_with_retry(QueryLabel, f"{node}/query", QueryLabel.Request(text=text, **fields))


def read_similarity(response: Any) -> Any:
    """Read the similarity image of a response as an array (height, width)."""
    image = response.similarity
    assert (image.encoding, image.step, image.is_bigendian) == ("32FC1", 4 * image.width, 0)
    return np.frombuffer(image.data, "<f4").reshape(image.height, image.width)


def has_no_point(response: Any) -> bool:
    """Whether a response has no 3D point."""
    point = [response.point.x, response.point.y, response.point.z]
    return not response.has_point and bool(np.isnan(point).all())


@pytest.fixture(scope="module")
def floor(robot: RosClient) -> tuple[Any, Any]:
    """The response to the query for the floor, and the mask of the floor.

    The mask has shape (height, width) and belongs to the same frame.
    The frame has depth and ground truth. On a busy machine DDS loses some images.
    """
    kept = robot.unsubscribe(keep=10**6)
    ground_truth = robot.listen(Image, "/ground_truth/labels")
    vocabulary = robot.listen(Vocabulary, "/ground_truth/vocabulary", LATCHED)
    masks = robot.listen(Image, "/lseg/mask")
    wait_until(lambda: vocabulary.messages and masks.messages and len(ground_truth.messages) > 1, 20)
    floor_id = next(label.id for label in vocabulary.messages[0].labels if label.name == "floor")

    def query_with_depth_and_ground_truth() -> Any:
        response = query(robot, "floor")
        return response if response.has_point and read_stamp_ns(response) in ground_truth.by_stamp() else None

    response = wait_until(query_with_depth_and_ground_truth, 90, "no frame had depth and ground truth")
    stamp = read_stamp_ns(response)
    robot.unsubscribe(keep=kept)
    return response, read_pixels(ground_truth.by_stamp()[stamp]) == floor_id


def test_finds_a_text_in_view_with_pixel_and_point(floor: tuple[Any, Any]) -> None:
    response, _ = floor
    assert response.found
    assert response.score >= response.threshold == pytest.approx(0.55)
    assert response.has_point
    assert 0.3 < np.linalg.norm([response.point.x, response.point.y, response.point.z]) < 30
    assert "'floor' is at column" in response.message
    assert "m away" in response.message
    assert response.camera == ""


def test_similarity_image_belongs_to_the_frame_and_the_best_pixel_has_its_maximum(floor: tuple[Any, Any]) -> None:
    response, _ = floor
    similarity = read_similarity(response)
    assert response.similarity.header == response.header
    assert similarity.shape == (240, 320)
    assert similarity[response.v, response.u] == similarity.max() == pytest.approx(response.score)
    assert similarity.min() >= -1


def test_similarity_is_high_on_the_object(floor: tuple[Any, Any]) -> None:
    response, is_floor = floor
    similarity = read_similarity(response)
    assert similarity[is_floor].mean() > similarity[~is_floor].mean() + 0.2


def test_response_for_a_text_that_is_not_in_view_has_score_and_threshold(robot: RosClient) -> None:
    response = query(robot, "elephant")
    assert response.success
    assert not response.found
    assert response.score < response.threshold
    assert response.message == (
        f"nothing in view matches 'elephant' (score {response.score:.2f}, threshold {response.threshold:.2f})"
    )


def test_threshold_is_that_of_the_request_or_the_parameter(robot: RosClient) -> None:
    assert query(robot, "elephant", threshold=-1.0).found
    assert not query(robot, "floor", threshold=1.0).found
    assert robot.set_parameter("query_threshold", 0.99).successful
    try:
        response = query(robot, "floor")
        assert not response.found
        assert response.threshold == pytest.approx(0.99)
    finally:
        assert robot.set_parameter("query_threshold", 0.55).successful


def test_similarity_image_can_be_omitted(robot: RosClient) -> None:
    response = query(robot, "floor", no_image=True)
    assert response.success
    assert response.score > 0
    assert not response.similarity.data
    assert not response.similarity.height


def test_query_does_not_change_the_labels(robot: RosClient) -> None:
    before = robot.read_vocabulary()
    assert query(robot, "lamp|lantern").success
    assert robot.read_vocabulary() == before


def test_query_uses_depth_even_if_points_has_no_subscribers(active: NodeHarness) -> None:
    header = active.make_header()
    active.wait_for_mask(**make_frame(header, depth=make_depth(header, 3.0)))
    response = query(active.client, "wall", NODE)
    assert response.header == header
    assert response.has_point
    assert response.point.z == pytest.approx(3.0)
    assert response.point.x == pytest.approx((response.u - 32) / 60 * 3.0, abs=1e-5)
    assert response.point.y == pytest.approx((response.v - 24) / 60 * 3.0, abs=1e-5)


def test_response_without_depth_has_a_pixel_but_no_point(active: NodeHarness) -> None:
    active.wait_for_mask(image=make_image(active.make_header(offset_s=2.0)))  # no depth image is that near in time
    response = query(active.client, "wall", NODE)
    assert response.success
    assert has_no_point(response)
    assert read_similarity(response).shape == (48, 64)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"text": "  "}, "text: expected a word, got a blank"),
        ({"text": "sofa|"}, "text: expected a word, got a blank"),
        ({"text": "so\x07fa"}, "text: expected printable characters"),
        ({"text": "word " * 100}, "tokens"),
        ({"text": "wall", "threshold": 1.5}, "threshold: expected -1 to 1"),
        ({"text": "wall", "threshold": float("nan")}, "threshold: expected -1 to 1"),
        ({"text": "wall", "camera": "front"}, "camera: expected none, because the node's camera has no name"),
    ],
    ids=["blank", "blank synonym", "control character", "too long", "threshold", "NaN", "camera"],
)
def test_rejects_invalid_requests_with_the_reason(active: NodeHarness, fields: dict[str, Any], text: str) -> None:
    active.wait_for_mask(image=make_image(active.make_header()))
    response = query(active.client, node=NODE, **fields)
    assert not response.success
    assert text in response.message
    assert has_no_point(response)
    assert np.isnan([response.score, response.threshold]).all()
    assert not response.similarity.data


def test_rejects_queries_while_inactive_and_before_the_first_frame(active: NodeHarness) -> None:
    client = active.client
    active.wait_for_mask(image=make_image(active.make_header()))
    assert client.transition("deactivate", NODE)
    response = query(client, "wall", NODE)
    assert not response.success
    assert response.message == "the node is not active: there is no frame to search"
    assert client.transition("cleanup", NODE)
    active.activate()
    response = query(client, "wall", NODE)
    assert not response.success
    assert response.message == "no frame was processed yet"
