"""Tests of changing labels by parameter and by service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from lseg_ros.msg import Vocabulary
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, PointCloud2

from lseg_ros.inference import SegmenterConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.node import SegmentationNode
from lseg_ros.ros.parameters import NodeConfig
from test.support.ros_client import APPEND, LATCHED, RELIABLE, RosClient, read_pixels, read_stamp_ns, wait_until

FIRST, SECOND = ["floor", "wall", "chair"], ["ceiling", "table", "sofa|couch"]


@pytest.fixture
def first(robot: RosClient) -> Any:
    """The active vocabulary with the labels ``FIRST``."""
    response = robot.set_labels(FIRST)
    assert response.success, response.message
    return response.vocabulary


@pytest.mark.parametrize("interface", ["parameter", "service"])
def test_masks_use_only_new_labels_after_the_response(robot: RosClient, first: Any, interface: str) -> None:
    masks = robot.listen(Image, "/lseg/mask")
    masks.wait_for(2)
    if interface == "parameter":
        assert robot.set_parameter("labels", SECOND).successful
    else:
        assert robot.set_labels(SECOND).success
    response_ns = robot.node.get_clock().now().nanoseconds

    def later_masks() -> list[Any]:
        return [mask for mask in masks.messages if read_stamp_ns(mask) > response_ns]

    wait_until(lambda: len(later_masks()) >= 3, 20)
    old, new = {label.id for label in first.labels}, {label.id for label in robot.read_vocabulary().labels}
    assert not old & new
    assert all(set(np.unique(read_pixels(mask))) <= {0, *new} for mask in later_masks())
    assert all(set(np.unique(read_pixels(mask))) <= {0, *old} for mask in masks.messages[:2])


@pytest.mark.usefixtures("first")
def test_parameter_and_service_change_the_same_labels(robot: RosClient) -> None:
    assert robot.get_parameter("labels") == FIRST
    robot.set_labels(["person"], APPEND)
    assert robot.get_parameter("labels") == [*FIRST, "person"]
    robot.set_parameter("labels", SECOND)
    assert [label.name for label in robot.read_vocabulary().labels] == ["ceiling", "table", "sofa"]


@pytest.mark.usefixtures("first")
def test_publishes_a_vocabulary_before_its_first_mask(robot: RosClient) -> None:
    messages: list[Any] = []
    robot.listen(Vocabulary, "/lseg/vocabulary", LATCHED, messages.append)
    robot.listen(Image, "/lseg/mask", RELIABLE, messages.append)
    wait_until(lambda: len(messages) > 3, 10)
    epoch = robot.set_labels(SECOND).vocabulary.epoch
    wait_until(lambda: any(isinstance(message, Vocabulary) and message.epoch == epoch for message in messages), 10)
    count = len(messages)
    wait_until(lambda: len(messages) > count + 2, 10)
    known: set[int] = set()
    for message in messages[1:] if isinstance(messages[0], Image) else messages:
        if isinstance(message, Vocabulary):
            known = {0, *(label.id for label in message.labels)}
        else:
            assert not known or set(np.unique(read_pixels(message))) <= known


def test_late_subscriber_gets_the_active_vocabulary(robot: RosClient, first: Any) -> None:
    vocabulary = robot.read_vocabulary()
    assert vocabulary.epoch == first.epoch
    assert [(label.id, label.name, label.slug) for label in vocabulary.labels] == [
        (label.id, label.name, label.slug) for label in first.labels
    ]
    assert vocabulary.model == "demo"
    assert list(vocabulary.prompt_templates) == ["{}"]


def test_returning_labels_keep_their_ids_and_epochs_grow_by_one(robot: RosClient, first: Any) -> None:
    second, third = robot.set_labels(SECOND).vocabulary, robot.set_labels(FIRST).vocabulary
    assert [label.id for label in third.labels] == [label.id for label in first.labels]
    assert (second.epoch, third.epoch) == (first.epoch + 1, first.epoch + 2)
    assert {"ceiling", "table", "sofa"} <= {label.name for label in third.retired}


def test_setting_the_same_labels_again_changes_nothing(robot: RosClient, first: Any) -> None:
    assert robot.set_labels(FIRST).vocabulary.epoch == first.epoch
    assert robot.set_parameter("labels", FIRST).successful
    assert robot.read_vocabulary().epoch == first.epoch


def test_get_labels_returns_the_active_vocabulary(robot: RosClient, first: Any) -> None:
    vocabulary = robot.get_labels()
    assert (vocabulary.epoch, vocabulary.labels, vocabulary.model) == (first.epoch, first.labels, "demo")
    epoch = robot.set_labels(SECOND).vocabulary.epoch
    vocabulary = robot.get_labels()
    assert vocabulary.epoch == epoch
    assert [label.name for label in vocabulary.labels] == ["ceiling", "table", "sofa"]


INVALID_LABELS = {
    "empty": ([""], "empty list"),
    "blank": (["floor", " "], "labels[1]: expected a word, got a blank in ' '"),
    "duplicate": (["floor", "Sofa", "sofa "], "labels[2]: expected every text once, got 'sofa' twice (also in 'Sofa')"),
    "duplicate synonym": (
        ["couch|sofa", "sofa"],
        "labels[1]: expected every text once, got 'sofa' twice (also in 'couch|sofa')",
    ),
    "control character": (["floor", "tab\there"], "labels[1]: expected printable characters, got 'tab\\there'"),
    "too many": ([f"label {number}" for number in range(255)], "labels: expected at most 254, got 255"),
    "too long": (["floor", " ".join(["word"] * 100)], "tokens"),
}
invalid_labels = pytest.mark.parametrize(("labels", "text"), INVALID_LABELS.values(), ids=INVALID_LABELS.keys())


@invalid_labels
@pytest.mark.parametrize("interface", ["parameter", "service"])
def test_rejects_invalid_labels_and_keeps_the_active_ones(
    robot: RosClient, first: Any, interface: str, labels: list[str], text: str
) -> None:
    if interface == "parameter":
        result = robot.set_parameter("labels", labels)
        accepted, reason = result.successful, result.reason
    else:
        response = robot.set_labels([] if labels == [""] else labels)
        accepted, reason = response.success, response.message
        assert response.vocabulary.epoch == first.epoch
    assert not accepted
    assert text in reason
    assert robot.get_parameter("labels") == FIRST


StartError = Callable[..., str]


@pytest.fixture
def start_error() -> Iterator[StartError]:
    """A function that configures a node with these parameters and returns the error."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)

    def configure(**parameters: Any) -> str:
        overrides = [Parameter(name, value=value) for name, value in {"device": "cpu", **parameters}.items()]
        errors: list[str] = []
        try:
            node = SegmentationNode("starting", context=context, parameter_overrides=overrides)
        except ValueError as error:
            return str(error)
        try:
            node.get_logger = lambda: SimpleNamespace(error=errors.append, info=lambda _: None)
            assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
            return " ".join(errors)
        finally:
            del node.get_logger
            node.destroy_node()

    yield configure
    rclpy.shutdown(context=context)


@invalid_labels
def test_node_does_not_start_with_invalid_labels_and_reports_the_same_error(
    start_error: StartError, labels: list[str], text: str
) -> None:
    assert text in start_error(labels=labels)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"class_ids": [1]}, "class_ids: expected one per label (2), got 1"),
        ({"class_ids": [1, 0]}, "id of 'wall': expected 1 to 254, got 0"),
        ({"class_ids": [255, 2]}, "id of 'floor': expected 1 to 254, got 255"),
        ({"class_ids": [7, 7]}, "id of 'wall': expected an unused id, got 7, which belongs to 'floor'"),
        ({"class_ids": ["7", "8"]}, "class_ids: expected a value like [0], got another type"),
        ({"colors": ["#112233"]}, "colors: expected one per label (2), got 1"),
        ({"colors": ["", "red"]}, "color of 'wall': expected '#rrggbb' or '' for an automatic one, got 'red'"),
        ({"prompt_templates": ["a photo"]}, "prompt_templates: expected exactly one {} in each, got 'a photo'"),
    ],
)
def test_node_does_not_start_with_invalid_ids_colors_or_templates(
    start_error: StartError, parameters: dict[str, Any], text: str
) -> None:
    assert text in start_error(labels=["floor", "wall"], **parameters)


def test_masks_keep_the_active_labels_after_a_rejected_change(robot: RosClient, first: Any) -> None:
    assert not robot.set_parameter("labels", ["chair", "chair"]).successful
    (mask,) = robot.listen(Image, "/lseg/mask").wait_for(1)
    assert set(np.unique(read_pixels(mask))) <= {0, *(label.id for label in first.labels)}


@pytest.mark.parametrize(
    ("label_id", "text"), [(0, "expected 1 to 254"), (255, "expected 1 to 254"), (None, "belongs to")]
)
def test_rejects_ids_that_are_out_of_range_or_in_use(
    robot: RosClient, first: Any, label_id: int | None, text: str
) -> None:
    used = first.labels[0].id
    response = robot.set_labels(["unheard of"], ids=[used if label_id is None else label_id])
    assert not response.success
    assert "'unheard of'" in response.message
    assert text in response.message
    assert response.vocabulary.epoch == first.epoch


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"ids": [250]}, "ids: expected one per label (2), got 1"),
        ({"ids": [250, 250]}, "id of 'nor of': expected an unused id, got 250, which belongs to 'unheard of'"),
        ({"colors": ["#123456"]}, "colors: expected one per label (2), got 1"),
        ({"colors": ["", "#12345"]}, "color of 'nor of': expected '#rrggbb'"),
        ({"mode": 7}, "mode: expected 0 (REPLACE) or 1 (APPEND), got 7"),
    ],
)
def test_rejects_invalid_ids_colors_and_modes(
    robot: RosClient, first: Any, arguments: dict[str, Any], text: str
) -> None:
    response = robot.set_labels(["unheard of", "nor of"], **arguments)
    assert not response.success
    assert text in response.message
    assert robot.get_labels().epoch == first.epoch


def test_id_of_a_removed_label_is_not_reused(robot: RosClient, first: Any) -> None:
    removed = first.labels[0]
    robot.set_labels(SECOND)
    response = robot.set_labels(["carpet"], ids=[removed.id])
    assert not response.success
    assert response.message == f"id of 'carpet': expected an unused id, got {removed.id}, which belongs to 'floor'"


@pytest.mark.usefixtures("first")
def test_colors_can_be_set_and_do_not_depend_on_other_labels(robot: RosClient) -> None:
    response = robot.set_labels(["lamp", "rug"], APPEND, colors=["#102030", ""])
    assert response.success, response.message
    before = {label.name: label.color for label in response.vocabulary.labels}
    lamp = before["lamp"]
    assert [round(255 * channel) for channel in (lamp.r, lamp.g, lamp.b)] == [16, 32, 48]
    robot.set_labels(["barrel", "ladder"])
    vocabulary = robot.set_labels(["rug", "cup", "lamp", "floor"]).vocabulary
    after = {label.name: label.color for label in vocabulary.labels}
    assert all(after[name] == before[name] for name in ("rug", "lamp", "floor"))


@pytest.mark.usefixtures("first")
def test_cloud_of_a_removed_label_ends_with_an_empty_message(robot: RosClient) -> None:
    wall = robot.listen(PointCloud2, "/lseg/points/wall")
    wait_until(lambda: wall.messages, 20, "no cloud of the wall")
    robot.set_labels(SECOND)
    wait_until(lambda: robot.node.count_publishers("/lseg/points/wall") == 0, 10, "the topic of the wall remains")
    last = wall.messages[-1]
    assert last.width == 0
    assert [field.name for field in last.fields] == ["x", "y", "z", "rgb"]
    assert robot.node.count_publishers("/lseg/points/sofa") == 1


@pytest.mark.usefixtures("first")
def test_only_the_labels_in_cloud_labels_have_a_cloud(robot: RosClient) -> None:
    assert robot.set_parameter("cloud_labels", ["chair"]).successful
    try:
        wait_until(lambda: robot.node.count_publishers("/lseg/points/floor") == 0, 10)
        assert robot.node.count_publishers("/lseg/points/chair") == 1
    finally:
        assert robot.set_parameter("cloud_labels", [""]).successful
    wait_until(lambda: robot.node.count_publishers("/lseg/points/floor") == 1, 10)


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("word", ["other", "others"])
def test_other_is_an_ordinary_label(robot: RosClient, word: str) -> None:
    """As in the paper, it competes with the other labels. It has an id, a color and a cloud."""
    _, other = robot.set_labels(["floor", word]).vocabulary.labels
    clouds = robot.listen(PointCloud2, f"/lseg/points/{word}")
    (mask,) = robot.listen(Image, "/lseg/mask").wait_for(1)
    ids = set(np.unique(read_pixels(mask)))
    assert other.id in ids
    assert 0 not in ids
    assert wait_until(lambda: clouds.messages, 10)[-1].width > 0


@pytest.mark.usefixtures("first")
def test_pixels_below_the_threshold_are_unlabeled(robot: RosClient) -> None:
    assert robot.set_parameter("unlabeled_threshold", 0.9).successful
    try:
        masks, confidences = robot.listen(Image, "/lseg/mask"), robot.listen(Image, "/lseg/confidence")
        stamp = wait_until(lambda: set(masks.by_stamp()) & set(confidences.by_stamp()), 20).pop()
        mask, confidence = (read_pixels(listener.by_stamp()[stamp]) for listener in (masks, confidences))
        assert (mask == 0).any()
        assert (confidence[mask == 0] == 0).all()
        assert (confidence[mask > 0] >= round(0.9 * 255)).all()
    finally:
        assert robot.set_parameter("unlabeled_threshold", -1.0).successful


@pytest.fixture
def manager() -> LabelManager:
    """A manager without a network."""
    return LabelManager(NodeConfig(labels=("floor", "wall")), SegmenterConfig(), PipelineConfig())


def test_proposal_changes_nothing_until_it_is_committed(manager: LabelManager) -> None:
    before = manager.state
    parameters = [Parameter("labels", value=["lamp"]), Parameter("depth_max_m", value=3.0)]
    proposal = manager.propose([*parameters, Parameter("use_sim_time", value=True)])
    assert manager.state is before
    manager.commit(proposal)
    assert manager.state is proposal
    assert (proposal.vocabulary.names, proposal.vocabulary.epoch) == (("lamp",), before.vocabulary.epoch + 1)
    assert proposal.pipeline.depth_max_m == 3.0
    assert proposal.segmenter is before.segmenter


def test_proposal_with_the_same_labels_keeps_the_vocabulary(manager: LabelManager) -> None:
    vocabulary = manager.state.vocabulary
    assert manager.propose([Parameter("labels", value=["floor ", "wall"])]).vocabulary is vocabulary
    assert manager.propose([Parameter("max_rate_hz", value=2.0)]).vocabulary is vocabulary
    assert manager.propose_labels(["floor", "wall"], [], [], append=False).vocabulary is vocabulary


def test_proposed_labels_with_ids_and_colors_also_set_the_parameter(manager: LabelManager) -> None:
    proposal = manager.propose_labels(["lamp"], [7], ["#112233"], append=True)
    assert proposal.node.labels == ("floor", "wall", "lamp")
    assert (proposal.vocabulary["lamp"].id, proposal.vocabulary["lamp"].color) == (7, (0x11, 0x22, 0x33))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels", ["floor", "floor"], r"labels\[1\]"),
        ("sync_slop_s", 2.0, "sync_slop_s"),
        ("unlabeled_threshold", 1.5, "unlabeled_threshold"),
        ("overlay_alpha", -1.0, "overlay_alpha"),
    ],
)
def test_rejects_proposals_with_invalid_values(manager: LabelManager, name: str, value: Any, message: str) -> None:
    before = manager.state
    with pytest.raises(ValueError, match=message):
        manager.propose([Parameter(name, value=value)])
    assert manager.state is before
