"""Labels by parameter and by service: one validated path, and no mask of old words after the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

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
def live(robot: RosClient):
    """The vocabulary of ``FIRST``, live."""
    response = robot.set_labels(FIRST)
    assert response.success, response.message
    return response.vocabulary


def now_ns(robot: RosClient) -> int:
    return robot.node.get_clock().now().nanoseconds


@pytest.mark.parametrize("way", ["parameter", "service"])
def test_the_old_words_never_appear_after_the_answer(robot: RosClient, live, way):
    masks = robot.listen(Image, "/lseg/mask")
    masks.wait_for(2)
    if way == "parameter":
        assert robot.set_parameter("labels", SECOND).successful
    else:
        assert robot.set_labels(SECOND).success
    answered_ns = now_ns(robot)
    wait_until(lambda: len([each for each in masks.messages if read_stamp_ns(each) > answered_ns]) >= 3, 20)
    old, new = {each.id for each in live.labels}, {each.id for each in robot.read_vocabulary().labels}
    assert not old & new
    later = [set(np.unique(read_pixels(each))) for each in masks.messages if read_stamp_ns(each) > answered_ns]
    assert all(ids <= {0, *new} for ids in later)
    earlier = [set(np.unique(read_pixels(each))) for each in masks.messages[:2]]
    assert all(ids <= {0, *old} for ids in earlier)


def test_parameter_and_service_say_the_same(robot: RosClient, live):
    assert robot.get_parameter("labels") == FIRST
    robot.set_labels(["person"], APPEND)
    assert robot.get_parameter("labels") == [*FIRST, "person"]
    robot.set_parameter("labels", SECOND)
    assert [label.name for label in robot.read_vocabulary().labels] == ["ceiling", "table", "sofa"]


def test_the_vocabulary_comes_before_its_first_mask(robot: RosClient, live):
    order: list[Image | Vocabulary] = []
    robot.listen(Vocabulary, "/lseg/vocabulary", LATCHED, order.append)
    robot.listen(Image, "/lseg/mask", RELIABLE, order.append)
    wait_until(lambda: len(order) > 3, 10)
    epoch = robot.set_labels(SECOND).vocabulary.epoch
    wait_until(lambda: any(isinstance(each, Vocabulary) and each.epoch == epoch for each in order), 10)
    count = len(order)
    wait_until(lambda: len(order) > count + 2, 10)
    known: set[int] = set()
    for each in order[1:] if isinstance(order[0], Image) else order:
        if isinstance(each, Vocabulary):
            known = {0, *(label.id for label in each.labels)}
        else:
            assert not known or set(np.unique(read_pixels(each))) <= known


def test_a_late_joiner_is_told_the_live_vocabulary(robot: RosClient, live):
    vocabulary = robot.read_vocabulary()
    assert vocabulary.epoch == live.epoch
    assert [(label.id, label.name, label.slug) for label in vocabulary.labels] == [
        (label.id, label.name, label.slug) for label in live.labels
    ]
    assert vocabulary.model == "demo" and list(vocabulary.prompt_templates) == ["{}"]


def test_a_label_that_comes_back_has_its_old_id_and_epochs_grow_by_one(robot: RosClient, live):
    second, third = robot.set_labels(SECOND).vocabulary, robot.set_labels(FIRST).vocabulary
    assert [label.id for label in third.labels] == [label.id for label in live.labels]
    assert (second.epoch, third.epoch) == (live.epoch + 1, live.epoch + 2)
    assert {"ceiling", "table", "sofa"} <= {label.name for label in third.retired}


def test_the_same_labels_again_are_no_change(robot: RosClient, live):
    assert robot.set_labels(FIRST).vocabulary.epoch == live.epoch
    assert robot.set_parameter("labels", FIRST).successful
    assert robot.read_vocabulary().epoch == live.epoch


def test_whoever_asks_is_told_the_live_vocabulary(robot: RosClient, live):
    told = robot.get_labels()
    assert (told.epoch, told.labels, told.model) == (live.epoch, live.labels, "demo")
    epoch = robot.set_labels(SECOND).vocabulary.epoch
    told = robot.get_labels()
    assert told.epoch == epoch and [label.name for label in told.labels] == ["ceiling", "table", "sofa"]


BAD_LISTS = {
    "empty": ([""], "empty list"),
    "blank": (["floor", "  "], "labels[1]: expected a word, got a blank in '  '"),
    "duplicate": (["floor", "Sofa", "sofa "], "labels[2]: expected every text once, got 'sofa' twice (also in 'Sofa')"),
    "duplicate synonym": (
        ["couch|sofa", "sofa"],
        "labels[1]: expected every text once, got 'sofa' twice (also in 'couch|sofa')",
    ),
    "control character": (["floor", "tab\there"], "labels[1]: expected printable characters, got 'tab\\there'"),
    "too many": ([f"label {number}" for number in range(255)], "labels: expected at most 254, got 255"),
    "too long": (["floor", " ".join(["word"] * 500)], "tokens"),
}
bad_lists = pytest.mark.parametrize(("labels", "named"), BAD_LISTS.values(), ids=BAD_LISTS.keys())


@bad_lists
@pytest.mark.parametrize("way", ["parameter", "service"])
def test_a_bad_list_is_refused_by_name_and_the_old_one_stays_alive(robot: RosClient, live, way, labels, named):
    if way == "parameter":
        result = robot.set_parameter("labels", labels)
        accepted, reason = result.successful, result.reason
    else:
        response = robot.set_labels([] if labels == [""] else labels)
        accepted, reason = response.success, response.message
        assert response.vocabulary.epoch == live.epoch
    assert not accepted and named in reason
    assert robot.get_parameter("labels") == FIRST


@bad_lists
def test_a_node_refuses_to_start_with_a_bad_list_in_the_same_words(start, labels, named):
    assert named in start(labels=labels)


@pytest.mark.parametrize(
    ("parameters", "named"),
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
def test_a_node_refuses_to_start_with_ids_or_colors_that_cannot_be(start, parameters, named):
    assert named in start(labels=["floor", "wall"], **parameters)


@pytest.fixture
def start() -> Iterator[Callable[..., str]]:
    """Makes and configures a node of these parameters, as at start-up, and says why that does not work."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)

    def start(**parameters: object) -> str:
        overrides = [Parameter(name, value=value) for name, value in {"device": "cpu", **parameters}.items()]
        told: list[str] = []
        try:
            node = SegmentationNode("starting", context=context, parameter_overrides=overrides)
        except ValueError as error:
            return str(error)
        try:
            node.get_logger = lambda: SimpleNamespace(error=told.append, info=lambda _: None)
            assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
            return " ".join(told)
        finally:
            del node.get_logger
            node.destroy_node()

    yield start
    rclpy.shutdown(context=context)


def test_masks_go_on_with_the_old_labels_after_a_refusal(robot: RosClient, live):
    assert not robot.set_parameter("labels", ["chair", "chair"]).successful
    (mask,) = robot.listen(Image, "/lseg/mask").wait_for(1)
    assert set(np.unique(read_pixels(mask))) <= {0, *(label.id for label in live.labels)}


@pytest.mark.parametrize(
    ("number", "named"), [(0, "expected 1 to 254"), (255, "expected 1 to 254"), (None, "belongs to")]
)
def test_an_id_that_cannot_be_is_refused(robot: RosClient, live, number, named):
    taken = live.labels[0].id
    response = robot.set_labels(["unheard of"], ids=[taken if number is None else number])
    assert not response.success and "'unheard of'" in response.message and named in response.message
    assert response.vocabulary.epoch == live.epoch


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"ids": [250]}, "ids: expected one per label (2), got 1"),
        ({"ids": [250, 250]}, "id of 'nor of': expected an unused id, got 250, which belongs to 'unheard of'"),
        ({"colors": ["#123456"]}, "colors: expected one per label (2), got 1"),
        ({"colors": ["", "#12345"]}, "color of 'nor of': expected '#rrggbb'"),
        ({"mode": 7}, "mode: expected 0 (REPLACE) or 1 (APPEND), got 7"),
    ],
)
def test_ids_colors_and_modes_that_cannot_be_are_refused_by_name(robot: RosClient, live, request_, named):
    response = robot.set_labels(["unheard of", "nor of"], **request_)
    assert not response.success and named in response.message
    assert robot.get_labels().epoch == live.epoch


def test_an_id_of_a_label_that_is_gone_is_not_given_to_another(robot: RosClient, live):
    gone = live.labels[0]
    robot.set_labels(SECOND)
    response = robot.set_labels(["carpet"], ids=[gone.id])
    assert not response.success
    assert response.message == f"id of 'carpet': expected an unused id, got {gone.id}, which belongs to 'floor'"


def test_a_color_can_be_asked_for_and_stays_when_others_come_and_go(robot: RosClient, live):
    response = robot.set_labels(["lamp", "rug"], APPEND, colors=["#102030", ""])
    assert response.success, response.message
    first = {label.name: label.color for label in response.vocabulary.labels}
    assert [round(255 * each) for each in (first["lamp"].r, first["lamp"].g, first["lamp"].b)] == [16, 32, 48]
    robot.set_labels(["barrel", "ladder"])
    second = {label.name: label.color for label in robot.set_labels(["rug", "cup", "lamp", "floor"]).vocabulary.labels}
    assert all(second[name] == first[name] for name in ("rug", "lamp", "floor"))


def test_topics_of_labels_come_and_go_and_leave_an_empty_cloud(robot: RosClient, live):
    wall = robot.listen(PointCloud2, "/lseg/points/wall")
    wait_until(lambda: wall.messages, 20, "no cloud of the wall")
    robot.set_labels(SECOND)
    wait_until(lambda: robot.node.count_publishers("/lseg/points/wall") == 0, 10, "the topic of the wall stays")
    last = wall.messages[-1]
    assert last.width == 0 and [field.name for field in last.fields] == ["x", "y", "z", "rgb"]
    assert robot.node.count_publishers("/lseg/points/sofa") == 1


def test_only_cloud_labels_have_a_cloud(robot: RosClient, live):
    assert robot.set_parameter("cloud_labels", ["chair"]).successful
    try:
        wait_until(lambda: robot.node.count_publishers("/lseg/points/floor") == 0, 10)
        assert robot.node.count_publishers("/lseg/points/chair") == 1
    finally:
        assert robot.set_parameter("cloud_labels", [""]).successful
    wait_until(lambda: robot.node.count_publishers("/lseg/points/floor") == 1, 10)


@pytest.mark.parametrize("word", ["other", "others"])
def test_other_is_a_label_like_any_other(robot: RosClient, live, word):
    """As the paper's users know it: it competes with the rest, and has an id, a color and a cloud."""
    _, other = robot.set_labels(["floor", word]).vocabulary.labels
    clouds = robot.listen(PointCloud2, f"/lseg/points/{word}")
    (mask,) = robot.listen(Image, "/lseg/mask").wait_for(1)
    ids = set(np.unique(read_pixels(mask)))
    assert other.id in ids and 0 not in ids
    assert wait_until(lambda: clouds.messages, 10)[-1].width > 0


def test_what_no_label_is_sure_enough_of_is_unlabeled(robot: RosClient, live):
    assert robot.set_parameter("unlabeled_threshold", 0.9).successful
    try:
        heard = {topic: robot.listen(Image, f"/lseg/{topic}") for topic in ("mask", "confidence")}
        wait_until(lambda: set(heard["mask"].by_stamp()) & set(heard["confidence"].by_stamp()), 20)
        stamp = (set(heard["mask"].by_stamp()) & set(heard["confidence"].by_stamp())).pop()
        mask, confidence = (read_pixels(heard[topic].by_stamp()[stamp]) for topic in ("mask", "confidence"))
        assert (mask == 0).any() and (confidence[mask == 0] == 0).all()
        assert (confidence[mask > 0] >= round(0.9 * 255)).all()
    finally:
        assert robot.set_parameter("unlabeled_threshold", 0.0).successful


@pytest.fixture
def manager() -> LabelManager:
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
def test_proposal_with_an_invalid_value_is_rejected(
    manager: LabelManager, name: str, value: object, message: str
) -> None:
    before = manager.state
    with pytest.raises(ValueError, match=message):
        manager.propose([Parameter(name, value=value)])
    assert manager.state is before
