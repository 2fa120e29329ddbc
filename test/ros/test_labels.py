"""Labels by parameter and by service: one validated path, and no mask of old words after the answer."""

from __future__ import annotations

import numpy as np
import pytest
from lseg_ros.msg import Vocabulary
from sensor_msgs.msg import Image, PointCloud2

from test.ros.consumer import APPEND, LATCHED, RELIABLE, Consumer, pixels_of, stamp_of, until

FIRST, SECOND = ["floor", "wall", "chair"], ["ceiling", "table", "sofa|couch"]


@pytest.fixture
def live(robot: Consumer):
    """The vocabulary of ``FIRST``, live."""
    response = robot.set_labels(FIRST)
    assert response.success, response.message
    return response.vocabulary


def now_ns(robot: Consumer) -> int:
    return robot.node.get_clock().now().nanoseconds


@pytest.mark.parametrize("way", ["parameter", "service"])
def test_the_old_words_never_appear_after_the_answer(robot: Consumer, live, way):
    masks = robot.listen(Image, "/lseg/mask")
    masks.more(2)
    if way == "parameter":
        assert robot.set_parameter("labels", SECOND).successful
    else:
        assert robot.set_labels(SECOND).success
    answered_ns = now_ns(robot)
    until(lambda: len([each for each in masks.messages if stamp_of(each) > answered_ns]) >= 3, 20)
    old, new = {each.id for each in live.labels}, {each.id for each in robot.live_vocabulary().labels}
    assert not old & new
    later = [set(np.unique(pixels_of(each))) for each in masks.messages if stamp_of(each) > answered_ns]
    assert all(ids <= {0, *new} for ids in later)
    earlier = [set(np.unique(pixels_of(each))) for each in masks.messages[:2]]
    assert all(ids <= {0, *old} for ids in earlier)


def test_parameter_and_service_say_the_same(robot: Consumer, live):
    assert robot.get_parameter("labels") == FIRST
    robot.set_labels(["person"], APPEND)
    assert robot.get_parameter("labels") == [*FIRST, "person"]
    robot.set_parameter("labels", SECOND)
    assert [label.name for label in robot.live_vocabulary().labels] == ["ceiling", "table", "sofa"]


def test_the_vocabulary_comes_before_its_first_mask(robot: Consumer, live):
    order: list[Image | Vocabulary] = []
    robot.listen(Vocabulary, "/lseg/vocabulary", LATCHED, order.append)
    robot.listen(Image, "/lseg/mask", RELIABLE, order.append)
    until(lambda: len(order) > 3, 10)
    epoch = robot.set_labels(SECOND).vocabulary.epoch
    until(lambda: any(isinstance(each, Vocabulary) and each.epoch == epoch for each in order), 10)
    count = len(order)
    until(lambda: len(order) > count + 2, 10)
    known: set[int] = set()
    for each in order[1:] if isinstance(order[0], Image) else order:
        if isinstance(each, Vocabulary):
            known = {0, *(label.id for label in each.labels)}
        else:
            assert not known or set(np.unique(pixels_of(each))) <= known


def test_a_late_joiner_is_told_the_live_vocabulary(robot: Consumer, live):
    vocabulary = robot.live_vocabulary()
    assert vocabulary.epoch == live.epoch
    assert [(label.id, label.name, label.slug) for label in vocabulary.labels] == [
        (label.id, label.name, label.slug) for label in live.labels
    ]
    assert vocabulary.model == "demo" and list(vocabulary.prompt_templates) == ["{}"]


def test_a_label_that_comes_back_has_its_old_id_and_epochs_grow_by_one(robot: Consumer, live):
    second, third = robot.set_labels(SECOND).vocabulary, robot.set_labels(FIRST).vocabulary
    assert [label.id for label in third.labels] == [label.id for label in live.labels]
    assert (second.epoch, third.epoch) == (live.epoch + 1, live.epoch + 2)
    assert {"ceiling", "table", "sofa"} <= {label.name for label in third.retired}


def test_the_same_labels_again_are_no_change(robot: Consumer, live):
    assert robot.set_labels(FIRST).vocabulary.epoch == live.epoch
    assert robot.set_parameter("labels", FIRST).successful
    assert robot.live_vocabulary().epoch == live.epoch


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([""], "empty list"),
        (["floor", "  "], "blank"),
        (["floor", "Sofa", "sofa "], "'sofa'"),
        (["floor", "couch|sofa", "sofa"], "'sofa'"),
        (["floor", "tab\there"], "printable"),
        ([f"label {number}" for number in range(255)], "254"),
        (["floor", " ".join(["word"] * 500)], "tokens"),
    ],
    ids=["empty", "blank", "duplicate", "duplicate synonym", "control character", "too many", "too long"],
)
@pytest.mark.parametrize("way", ["parameter", "service"])
def test_a_bad_list_is_refused_by_name_and_the_old_one_stays_alive(robot: Consumer, live, way, labels, named):
    if way == "parameter":
        result = robot.set_parameter("labels", labels)
        accepted, reason = result.successful, result.reason
    else:
        response = robot.set_labels([] if labels == [""] else labels)
        accepted, reason = response.success, response.message
        assert response.vocabulary.epoch == live.epoch
    assert not accepted and named in reason
    assert robot.get_parameter("labels") == FIRST


def test_masks_go_on_with_the_old_labels_after_a_refusal(robot: Consumer, live):
    assert not robot.set_parameter("labels", ["chair", "chair"]).successful
    (mask,) = robot.listen(Image, "/lseg/mask").more(1)
    assert set(np.unique(pixels_of(mask))) <= {0, *(label.id for label in live.labels)}


@pytest.mark.parametrize(
    ("number", "named"), [(0, "expected 1 to 254"), (255, "expected 1 to 254"), (None, "belongs to")]
)
def test_an_id_that_cannot_be_is_refused(robot: Consumer, live, number, named):
    taken = live.labels[0].id
    response = robot.set_labels(["unheard of"], ids=[taken if number is None else number])
    assert not response.success and named in response.message
    assert response.vocabulary.epoch == live.epoch


def test_topics_of_labels_come_and_go_and_leave_an_empty_cloud(robot: Consumer, live):
    wall = robot.listen(PointCloud2, "/lseg/points/wall")
    until(lambda: wall.messages, 20, "no cloud of the wall")
    robot.set_labels(SECOND)
    until(lambda: robot.node.count_publishers("/lseg/points/wall") == 0, 10, "the topic of the wall stays")
    last = wall.messages[-1]
    assert last.width == 0 and [field.name for field in last.fields] == ["x", "y", "z", "rgb"]
    assert robot.node.count_publishers("/lseg/points/sofa") == 1


def test_only_cloud_labels_have_a_cloud(robot: Consumer, live):
    assert robot.set_parameter("cloud_labels", ["chair"]).successful
    try:
        until(lambda: robot.node.count_publishers("/lseg/points/floor") == 0, 10)
        assert robot.node.count_publishers("/lseg/points/chair") == 1
    finally:
        assert robot.set_parameter("cloud_labels", [""]).successful
    until(lambda: robot.node.count_publishers("/lseg/points/floor") == 1, 10)
