"""Each consumer takes what the node publishes, and each of its conditions can tell when it would not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ament_index_python.packages import get_package_share_directory
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointField

from test.ros.consumers.readers import CONSUMERS
from test.ros.consumers.received import Received, receive
from test.support.ros_client import RosClient, read_pixels

ROOT = Path(__file__).resolve().parents[3]
FULL, EMPTY = "points/wall", "points/street"
THRESHOLD = 0.6


@pytest.fixture(scope="module")
def received(robot: RosClient) -> Iterator[Received]:
    """What the node says of the synthetic kitchen, in which it is not sure enough of any street."""
    kept = robot.unsubscribe(keep=10**6)
    assert robot.set_parameter("unlabeled_threshold", THRESHOLD).successful
    vocabulary = robot.set_labels(["floor", "wall", "sofa|couch", "street"]).vocabulary
    everything = receive(robot, [label.slug for label in vocabulary.labels])
    robot.unsubscribe(keep=kept)
    yield everything
    robot.set_parameter("unlabeled_threshold", 0.0)


@pytest.mark.parametrize("reader", CONSUMERS)
def test_a_consumer_takes_what_the_node_publishes(received: Received, reader: str):
    assert list(CONSUMERS[reader](received)) == []


def test_there_is_something_to_object_to(received: Received):
    assert received[FULL].width > 100 and received[EMPTY].width == 0
    assert len(received.stamps["mask"]) >= 3
    assert 0 in read_pixels(received["mask"])


# What breaks a message, in place.


def later(message: Any) -> None:
    message.header.stamp.nanosec ^= 1


def elsewhere(message: Any) -> None:
    message.header.frame_id = ""


def sixteen_bit(image: Any) -> None:
    image.encoding = "mono16"


def padded(image: Any) -> None:
    image.step += 4


def cut(message: Any) -> None:
    message.data = message.data[:-1]


def longer(message: Any) -> None:
    message.data.append(0)


def halved(cloud: Any) -> None:
    cloud.height //= 2
    cloud.data = cloud.data[: cloud.height * cloud.row_step]


def doubled(cloud: Any) -> None:
    cloud.height, cloud.data = 2, cloud.data + cloud.data


def without_z(cloud: Any) -> None:
    cloud.fields = [field for field in cloud.fields if field.name != "z"]


def big_endian(cloud: Any) -> None:
    cloud.is_bigendian = True


def too_wide(cloud: Any) -> None:
    cloud.fields[-1].offset = cloud.point_step


def integer_color(cloud: Any) -> None:
    cloud.fields[3].datatype = PointField.UINT32


def called(old: str, new: str) -> Callable[[Any], None]:
    def rename(cloud: Any) -> None:
        next(field for field in cloud.fields if field.name == old).name = new

    return rename


def written(field: str, value: float, where: Callable[[np.ndarray], Any]) -> Callable[[Any], None]:
    """Overwrite a field of some points; where: a mask, or an index, of the array of its values (float32)."""

    def write(cloud: Any) -> None:
        offset = next(each.offset for each in cloud.fields if each.name == field)
        points = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step).copy()
        column = np.ascontiguousarray(points[:, offset : offset + 4]).view("<f4")[:, 0]
        column[where(column)] = value
        points[:, offset : offset + 4] = column[:, None].view(np.uint8)
        cloud.data = type(cloud.data)("B", points.tobytes())

    return write


def everywhere(_: np.ndarray) -> slice:
    return slice(None)


def first_known(column: np.ndarray) -> Any:
    return np.flatnonzero(np.isfinite(column))[:1]


def pixel(value: int) -> Callable[[Any], None]:
    """Another id for the first pixel that has one."""

    def change(mask: Any) -> None:
        mask.data[next(index for index, each in enumerate(mask.data) if each)] = value

    return change


def no_labels(vocabulary: Any) -> None:
    vocabulary.labels = []


def other_slug(vocabulary: Any) -> None:
    vocabulary.labels[0].slug = "ground"


def one_color(vocabulary: Any) -> None:
    vocabulary.labels[0].color = vocabulary.labels[1].color


NAN_COLOR = np.array(0xFFFFFFFF, "<u4").view("<f4")[()]  # white with its alpha byte set
OPAQUE = np.array(0x7F336699, "<u4").view("<f4")[()]


@pytest.mark.parametrize(
    ("reader", "topic", "change", "objection"),
    [
        ("nav2_semantic_layer", "mask", later, "another stamp"),
        ("nav2_semantic_layer", "mask", sixteen_bit, "encoding mono16"),
        ("nav2_semantic_layer", "mask", padded, "padded rows"),
        ("nav2_semantic_layer", "confidence", cut, "bytes"),
        ("nav2_semantic_layer", "mask", pixel(77), "unknown ids [77]"),
        ("nav2_semantic_layer", "mask", pixel(255), "unknown ids [255]"),
        ("nav2_semantic_layer", "mask", pixel(0), "sure of what has no label"),
        ("nav2_semantic_layer", "points", halved, "another size"),
        ("nav2_semantic_layer", "points", without_z, "no x, y and z"),
        ("nav2_semantic_layer", "points", written("x", np.nan, first_known), "NaN in one"),
        ("nav2_semantic_layer", "points", written("z", 0.0, first_known), "not in front"),
        ("nav2_semantic_layer", "points", written("x", 9.0, first_known), "not at their pixels"),
        ("nav2_obstacle_layer", EMPTY, without_z, "no x, y and z"),
        ("nav2_obstacle_layer", EMPTY, later, "another stamp"),
        ("nav2_obstacle_layer", FULL, elsewhere, "frame_id"),
        ("nav2_obstacle_layer", FULL, longer, "bytes"),
        ("nav2_obstacle_layer", FULL, lambda cloud: setattr(cloud, "row_step", 1), "padded rows"),
        ("nav2_obstacle_layer", FULL, written("y", np.nan, first_known), "not finite"),
        ("spatio_temporal_voxel_layer", FULL, doubled, "organized"),
        ("spatio_temporal_voxel_layer", FULL, written("z", np.nan, first_known), "has a NaN"),
        ("spatio_temporal_voxel_layer", EMPTY, too_wide, "outside of its point"),
        ("elevation_mapping", FULL, integer_color, "no float"),
        ("elevation_mapping", FULL, called("rgb", "label"), "other layers"),
        ("elevation_mapping", FULL, written("rgb", NAN_COLOR, everywhere), "reads as NaN"),
        ("elevation_mapping", EMPTY, big_endian, "big endian"),
        ("hydra", "mask", later, "another stamp"),
        ("hydra", "rgb/image", lambda image: setattr(image, "width", 7), "another size than rgb/image"),
        ("hydra", "points", called("confidence", "ring"), "a ring hides"),
        ("hydra", "points", written("label", 1.0, first_known), "other labels than in the mask"),
        ("hydra", "mask", pixel(200), "the label space lacks"),
        ("hydra", "vocabulary", one_color, "expected its own"),
        ("rviz", "points", called("confidence", "intensity"), "an intensity"),
        ("rviz", "points", called("label", "class"), "no label to color by"),
        ("rviz", FULL, called("rgb", "color"), "no color"),
        ("rviz", FULL, written("rgb", OPAQUE, everywhere), "alpha bits"),
        ("rviz", "overlay", cut, "bytes"),
        ("image_tools", "overlay", padded, "padded rows"),
        ("image_tools", "mask", later, "another stamp"),
        ("image_tools", "camera_info", lambda info: setattr(info, "height", 7), "another size"),
        ("late_joiners", "vocabulary", no_labels, "nothing in it"),
        ("late_joiners", "vocabulary", other_slug, "other slugs"),
    ],
)
def test_a_consumer_objects_to_a_message_that_it_could_not_use(
    received: Received, reader: str, topic: str, change: Callable[[Any], None], objection: str
):
    assert objection in said(reader, received.changed(topic, change))


def said(reader: str, received: Received) -> str:
    """All violations; a file that `lseg labels` refuses to write is one as well."""
    try:
        return "; ".join(CONSUMERS[reader](received))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("reader", "topic"),
    [("nav2_obstacle_layer", EMPTY), ("nav2_obstacle_layer", FULL), ("image_tools", "camera_info")],
)
def test_a_consumer_objects_where_a_frame_has_no_message_or_two(received: Received, reader: str, topic: str):
    stamps = received.stamps[topic]
    for broken in (stamps[:-1], (*stamps, stamps[-1])):
        changed = dataclasses.replace(received, stamps={**received.stamps, topic: broken})
        assert f"{topic}: not one" in said(reader, changed)


@pytest.mark.parametrize(
    ("reader", "topic", "objection"),
    [
        ("rviz", FULL, "best effort"),
        ("image_tools", "mask", "best effort"),
        ("late_joiners", "vocabulary", "best effort"),
        ("late_joiners", "vocabulary", "volatile"),
    ],
)
def test_a_consumer_objects_to_a_quality_of_service_that_does_not_reach_it(
    received: Received, reader: str, topic: str, objection: str
):
    offered = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
    changed = dataclasses.replace(received, offered={**received.offered, topic: offered})
    assert f"{topic}: {objection}" in said(reader, changed)


def test_foxglove_finds_the_definitions_of_our_messages_where_they_are_installed():
    installed = Path(get_package_share_directory("lseg_ros"))
    for name in ("msg/Label", "msg/Vocabulary"):
        assert (installed / f"{name}.msg").read_text() == (ROOT / f"{name}.msg").read_text()


def relabeled(number: int, name: str) -> Callable[[Any], None]:
    def change(label_info: Any) -> None:
        label_info.class_map[0].class_id, label_info.class_map[0].class_name = number, name

    return change


@pytest.mark.parametrize(
    ("reader", "change", "objection"),
    [
        ("nav2_semantic_layer", relabeled(300, "floor"), "an id that is no label's"),
        ("nav2_semantic_layer", relabeled(1, "wall"), "names that are not one each"),
        ("nav2_semantic_layer", lambda message: setattr(message, "class_map", []), "unknown ids"),
        ("late_joiners", lambda message: setattr(message, "class_map", []), "lacks a label"),
    ],
)
def test_a_consumer_objects_to_a_label_info_that_does_not_explain_the_mask(
    received: Received, reader: str, change: Callable[[Any], None], objection: str
):
    pytest.importorskip("vision_msgs", reason="no vision_msgs here, it comes with a ROS installation")
    assert objection in said(reader, received.changed("label_info", change))


def test_label_info_lists_every_label_by_its_name_and_has_the_threshold(received: Received):
    pytest.importorskip("vision_msgs", reason="no vision_msgs here, it comes with a ROS installation")
    listed = {each.class_id: each.class_name for each in received["label_info"].class_map}
    labels = {label.id: label.name for label in received["vocabulary"].labels}
    assert labels.items() <= listed.items()
    retired = {label.id: label.name for label in received["vocabulary"].retired}
    assert listed.items() - labels.items() <= retired.items()
    assert received["label_info"].threshold == pytest.approx(THRESHOLD)
