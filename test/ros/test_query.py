"""Asking where something is in the last processed frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lseg_ros.msg import Vocabulary
from lseg_ros.srv import QueryLabel
from sensor_msgs.msg import Image

from test.support.node_harness import NODE, NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import LATCHED, LSEG, RosClient, read_pixels, read_stamp_ns, wait_until


def ask(ros_client: RosClient, text: str, node: str = LSEG, **more: Any) -> Any:
    return ros_client.call_with_retry(QueryLabel, f"{node}/query", QueryLabel.Request(text=text, **more))


def similarity_of(answer: Any) -> np.ndarray:
    picture = answer.similarity
    assert (picture.encoding, picture.step, picture.is_bigendian) == ("32FC1", 4 * picture.width, 0)
    return np.frombuffer(picture.data, "<f4").reshape(picture.height, picture.width)


def is_nowhere(answer: Any) -> bool:
    """Whether an answer says nothing of a place."""
    point = [answer.point.x, answer.point.y, answer.point.z]
    return not answer.has_point and bool(np.isnan(point).all())


@pytest.fixture
def active(harness: NodeHarness) -> NodeHarness:
    harness.activate()
    harness.clear()
    return harness


@pytest.fixture(scope="module")
def answer(robot: RosClient) -> tuple[Any, np.ndarray]:
    """Where the floor is, with the exact labels of that frame: True where it is.

    Of a frame with depth: on a busy machine DDS loses some, and a frame whose depth was lost has no points.
    """
    kept = robot.unsubscribe(keep=10**6)
    exact = robot.listen(Image, "/ground_truth/labels")
    named = robot.listen(Vocabulary, "/ground_truth/vocabulary", LATCHED)
    masks = robot.listen(Image, "/lseg/mask")
    wait_until(lambda: named.messages and masks.messages and len(exact.messages) > 1, 20)
    floor = next(label.id for label in named.messages[0].labels if label.name == "floor")
    answer = wait_until(lambda: found if (found := ask(robot, "floor")).has_point else None, 20, "no frame had depth")
    stamp = read_stamp_ns(answer)
    wait_until(lambda: stamp in exact.by_stamp(), 10, "no frame of that stamp")
    robot.unsubscribe(keep=kept)
    return answer, read_pixels(exact.by_stamp()[stamp]) == floor


def test_what_is_in_view_is_found_with_pixel_and_point(answer: tuple[Any, np.ndarray]):
    found, _ = answer
    assert found.found and found.score >= found.threshold == pytest.approx(0.55)
    assert found.has_point and 0.3 < np.linalg.norm([found.point.x, found.point.y, found.point.z]) < 30
    assert "'floor' is at column" in found.message and "m away" in found.message
    assert found.camera == ""


def test_the_similarity_image_is_of_the_frame_and_the_best_pixel_its_highest(answer: tuple[Any, np.ndarray]):
    found, _ = answer
    similarity = similarity_of(found)
    assert found.similarity.header == found.header and similarity.shape == (240, 320)
    assert similarity[found.v, found.u] == similarity.max() == pytest.approx(found.score)
    assert similarity.min() >= -1


def test_it_is_high_where_the_thing_is(answer: tuple[Any, np.ndarray]):
    found, is_floor = answer
    similarity = similarity_of(found)
    assert similarity[is_floor].mean() > similarity[~is_floor].mean() + 0.2


def test_a_text_that_fits_nothing_says_so_with_score_and_threshold(robot: RosClient):
    answer = ask(robot, "elephant")
    assert answer.success and not answer.found and answer.score < answer.threshold
    assert answer.message == (
        f"nothing in view matches 'elephant' (score {answer.score:.2f}, threshold {answer.threshold:.2f})"
    )


def test_the_threshold_is_that_of_the_request_or_the_parameter(robot: RosClient):
    assert ask(robot, "elephant", threshold=-1.0).found
    assert not ask(robot, "floor", threshold=1.0).found
    assert robot.set_parameter("query_threshold", 0.99).successful
    try:
        answer = ask(robot, "floor")
        assert not answer.found and answer.threshold == pytest.approx(0.99)
    finally:
        assert robot.set_parameter("query_threshold", 0.55).successful


def test_the_image_can_be_left_out(robot: RosClient):
    answer = ask(robot, "floor", no_image=True)
    assert answer.success and answer.score > 0 and not answer.similarity.data and not answer.similarity.height


def test_the_labels_stay_as_they_are(robot: RosClient):
    before = robot.read_vocabulary()
    assert ask(robot, "lamp|lantern").success
    assert robot.read_vocabulary() == before


def frame(harness: NodeHarness, meters: float = 2.0) -> dict[str, Any]:
    header = harness.make_header()
    return {"image": make_image(header), "depth": make_depth(header, meters), "info": make_camera_info(header)}


def test_depth_is_found_though_nobody_listens_to_points(active: NodeHarness):
    messages = frame(active, 3.0)
    active.wait_for_mask(**messages)
    answer = ask(active.client, "wall", NODE)
    assert answer.header == messages["image"].header
    assert answer.has_point and answer.point.z == pytest.approx(3.0)
    assert answer.point.x == pytest.approx((answer.u - 32) / 60 * 3.0, abs=1e-5)
    assert answer.point.y == pytest.approx((answer.v - 24) / 60 * 3.0, abs=1e-5)


def test_without_depth_there_is_a_pixel_and_no_point(active: NodeHarness):
    active.wait_for_mask(image=make_image(active.make_header(offset_s=2.0)))  # no depth is near
    answer = ask(active.client, "wall", NODE)
    assert answer.success and is_nowhere(answer) and similarity_of(answer).shape == (48, 64)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"text": "  "}, "text: expected a word, got a blank"),
        ({"text": "sofa|"}, "text: expected a word, got a blank"),
        ({"text": "so\x07fa"}, "text: expected printable characters"),
        ({"text": "word " * 300}, "tokens"),
        ({"text": "wall", "threshold": 1.5}, "threshold: expected -1 to 1"),
        ({"text": "wall", "threshold": float("nan")}, "threshold: expected -1 to 1"),
        ({"text": "wall", "camera": "front"}, "camera: expected none, because the node's camera has no name"),
    ],
    ids=["blank", "blank synonym", "control character", "too long", "threshold", "NaN", "camera"],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(active: NodeHarness, request_: dict[str, Any], named: str):
    active.wait_for_mask(image=make_image(active.make_header()))
    answer = ask(active.client, node=NODE, **request_)
    assert not answer.success and named in answer.message
    assert is_nowhere(answer) and np.isnan([answer.score, answer.threshold]).all() and not answer.similarity.data


def test_before_the_first_frame_and_while_not_active_it_says_so(active: NodeHarness):
    ros_client = active.client
    active.wait_for_mask(image=make_image(active.make_header()))
    assert ros_client.transition("deactivate", NODE)
    answer = ask(ros_client, "wall", NODE)
    assert not answer.success and answer.message == "the node is not active: there is no frame to search"
    assert ros_client.transition("cleanup", NODE)
    active.activate()
    answer = ask(ros_client, "wall", NODE)
    assert not answer.success and answer.message == "no frame was processed yet"
