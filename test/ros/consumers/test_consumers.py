"""Consumers can use the node's messages, and each requirement detects bad ones."""

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

from test.ros.consumers.received import Received, receive
from test.ros.consumers.registry import CONSUMERS
from test.support.ros_client import RosClient, read_pixels

ROOT = Path(__file__).resolve().parents[3]
FULL, EMPTY = "points/wall", "points/zebra"
THRESHOLD = 0.99
Change = Callable[[Any], None]  # modifies a message


@pytest.fixture(scope="module")
def received(robot: RosClient) -> Iterator[Received]:
    """The messages of the node in the synthetic kitchen.

    The threshold is too high for the label zebra.
    """
    kept = robot.unsubscribe(keep=10**6)
    assert robot.set_parameter("unlabeled_threshold", THRESHOLD).successful
    vocabulary = robot.set_labels(["floor", "wall", "sofa|couch", "zebra"]).vocabulary
    messages = receive(robot, [label.slug for label in vocabulary.labels])
    robot.unsubscribe(keep=kept)
    yield messages
    robot.set_parameter("unlabeled_threshold", -1.0)


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_consumer_can_use_the_messages_of_the_node(received: Received, consumer: str) -> None:
    assert list(CONSUMERS[consumer](received)) == []


def test_messages_exercise_the_requirements(received: Received) -> None:
    assert received[FULL].width > 100
    assert received[EMPTY].width == 0
    assert len(received.stamps["mask"]) >= 3
    assert 0 in read_pixels(received["mask"])


def change_stamp(message: Any) -> None:
    message.header.stamp.nanosec ^= 1


def clear_frame_id(message: Any) -> None:
    message.header.frame_id = ""


def declare_mono16(image: Any) -> None:
    image.encoding = "mono16"


def declare_padding(image: Any) -> None:
    image.step += 4


def remove_byte(message: Any) -> None:
    message.data = message.data[:-1]


def append_byte(message: Any) -> None:
    message.data.append(0)


def halve_height(cloud: Any) -> None:
    cloud.height //= 2
    cloud.data = cloud.data[: cloud.height * cloud.row_step]


def double_height(cloud: Any) -> None:
    cloud.height, cloud.data = 2, cloud.data + cloud.data


def remove_z(cloud: Any) -> None:
    cloud.fields = [field for field in cloud.fields if field.name != "z"]


def declare_big_endian(cloud: Any) -> None:
    cloud.is_bigendian = True


def move_last_field_out(cloud: Any) -> None:
    cloud.fields[-1].offset = cloud.point_step


def declare_integer_color(cloud: Any) -> None:
    cloud.fields[3].datatype = PointField.UINT32


def set_attribute(name: str, value: Any) -> Change:
    def change(message: Any) -> None:
        setattr(message, name, value)

    return change


def rename_field(old: str, new: str) -> Change:
    def change(cloud: Any) -> None:
        next(field for field in cloud.fields if field.name == old).name = new

    return change


def write_field(name: str, value: Any, select: Callable[[Any], Any]) -> Change:
    """Overwrite a field of some points.

    Args:
        name: Name of a float32 field.
        value: Value to write.
        select: Returns an index into the array of the field's values.
    """

    def change(cloud: Any) -> None:
        offset = next(field.offset for field in cloud.fields if field.name == name)
        points = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step).copy()
        values = np.ascontiguousarray(points[:, offset : offset + 4]).view("<f4")[:, 0]
        values[select(values)] = value
        points[:, offset : offset + 4] = values[:, None].view(np.uint8)
        cloud.data = type(cloud.data)("B", points.tobytes())

    return change


def everywhere(_: Any) -> Any:
    return slice(None)


def first_valid(values: Any) -> Any:
    return np.flatnonzero(np.isfinite(values))[:1]


def write_pixel(label_id: int) -> Change:
    """Write an id to the first labeled pixel."""

    def change(mask: Any) -> None:
        mask.data[next(index for index, value in enumerate(mask.data) if value)] = label_id

    return change


def remove_labels(vocabulary: Any) -> None:
    vocabulary.labels = []


def change_slug(vocabulary: Any) -> None:
    vocabulary.labels[0].slug = "ground"


def repeat_color(vocabulary: Any) -> None:
    vocabulary.labels[0].color = vocabulary.labels[1].color


NAN_COLOR = np.array(0xFFFFFFFF, "<u4").view("<f4")[()]  # white with a set alpha byte
OPAQUE = np.array(0x7F336699, "<u4").view("<f4")[()]


@pytest.mark.parametrize(
    ("consumer", "topic", "change", "violation"),
    [
        ("nav2_semantic_layer", "mask", change_stamp, "another stamp"),
        ("nav2_semantic_layer", "mask", declare_mono16, "encoding mono16"),
        ("nav2_semantic_layer", "mask", declare_padding, "padded rows"),
        ("nav2_semantic_layer", "confidence", remove_byte, "bytes"),
        ("nav2_semantic_layer", "mask", write_pixel(77), "unknown ids [77]"),
        ("nav2_semantic_layer", "mask", write_pixel(255), "unknown ids [255]"),
        ("nav2_semantic_layer", "mask", write_pixel(0), "not 0 for an unlabeled pixel"),
        ("nav2_semantic_layer", "points", halve_height, "size differs"),
        ("nav2_semantic_layer", "points", remove_z, "no x, y and z"),
        ("nav2_semantic_layer", "points", write_field("x", np.nan, first_valid), "NaN in one"),
        ("nav2_semantic_layer", "points", write_field("z", 0.0, first_valid), "not in front"),
        ("nav2_semantic_layer", "points", write_field("x", 9.0, first_valid), "not at their pixels"),
        ("nav2_obstacle_layer", EMPTY, remove_z, "no x, y and z"),
        ("nav2_obstacle_layer", EMPTY, change_stamp, "another stamp"),
        ("nav2_obstacle_layer", FULL, clear_frame_id, "frame_id"),
        ("nav2_obstacle_layer", FULL, append_byte, "bytes"),
        ("nav2_obstacle_layer", FULL, set_attribute("row_step", 1), "padded rows"),
        ("nav2_obstacle_layer", FULL, write_field("y", np.nan, first_valid), "not finite"),
        ("spatio_temporal_voxel_layer", FULL, double_height, "organized"),
        ("spatio_temporal_voxel_layer", FULL, write_field("z", np.nan, first_valid), "has a NaN"),
        ("spatio_temporal_voxel_layer", EMPTY, move_last_field_out, "outside the point"),
        ("elevation_mapping", FULL, declare_integer_color, "not a float"),
        ("elevation_mapping", FULL, rename_field("rgb", "label"), "layers other than"),
        ("elevation_mapping", FULL, write_field("rgb", NAN_COLOR, everywhere), "read as NaN"),
        ("elevation_mapping", EMPTY, declare_big_endian, "big endian"),
        ("hydra", "mask", change_stamp, "another stamp"),
        ("hydra", "rgb/image", set_attribute("width", 7), "size differs from rgb/image"),
        ("hydra", "points", rename_field("confidence", "ring"), "hidden by ring"),
        ("hydra", "points", write_field("label", 1.0, first_valid), "labels differ from the mask"),
        ("hydra", "mask", write_pixel(200), "not in the label space"),
        ("hydra", "vocabulary", repeat_color, "expected a unique color"),
        ("rviz", "points", rename_field("confidence", "intensity"), "an intensity"),
        ("rviz", "points", rename_field("label", "class"), "no label for coloring"),
        ("rviz", FULL, rename_field("rgb", "color"), "no color"),
        ("rviz", FULL, write_field("rgb", OPAQUE, everywhere), "alpha bits"),
        ("rviz", "overlay", remove_byte, "bytes"),
        ("image_tools", "overlay", declare_padding, "padded rows"),
        ("image_tools", "mask", change_stamp, "another stamp"),
        ("image_tools", "camera_info", set_attribute("height", 7), "size differs"),
        ("late_subscribers", "vocabulary", remove_labels, "vocabulary: empty"),
        ("late_subscribers", "vocabulary", change_slug, "slugs differ"),
    ],
)
def test_detects_messages_that_the_consumer_cannot_use(
    received: Received, consumer: str, topic: str, change: Change, violation: str
) -> None:
    assert violation in find_violations(consumer, received.with_change(topic, change))


def find_violations(consumer: str, received: Received) -> str:
    """Return all violations as one text. An error of `lseg labels` counts as a violation."""
    try:
        return "; ".join(CONSUMERS[consumer](received))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("consumer", "topic"),
    [("nav2_obstacle_layer", EMPTY), ("nav2_obstacle_layer", FULL), ("image_tools", "camera_info")],
)
def test_detects_frames_with_no_message_or_two(received: Received, consumer: str, topic: str) -> None:
    stamps = received.stamps[topic]
    for broken in (stamps[:-1], (*stamps, stamps[-1])):
        changed = dataclasses.replace(received, stamps={**received.stamps, topic: broken})
        assert f"{topic}: not one" in find_violations(consumer, changed)


@pytest.mark.parametrize(
    ("consumer", "topic", "violation"),
    [
        ("rviz", FULL, "best effort"),
        ("image_tools", "mask", "best effort"),
        ("late_subscribers", "vocabulary", "best effort"),
        ("late_subscribers", "vocabulary", "volatile"),
    ],
)
def test_detects_incompatible_qos(received: Received, consumer: str, topic: str, violation: str) -> None:
    offered = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
    changed = dataclasses.replace(received, offered={**received.offered, topic: offered})
    assert f"{topic}: {violation}" in find_violations(consumer, changed)


def test_message_definitions_are_installed_where_foxglove_reads_them() -> None:
    installed = Path(get_package_share_directory("lseg_ros"))
    for name in ("msg/Label", "msg/Vocabulary"):
        assert (installed / f"{name}.msg").read_text() == (ROOT / f"{name}.msg").read_text()


def set_first_class(class_id: int, name: str) -> Change:
    def change(label_info: Any) -> None:
        label_info.class_map[0].class_id, label_info.class_map[0].class_name = class_id, name

    return change


@pytest.mark.parametrize(
    ("consumer", "change", "violation"),
    [
        ("nav2_semantic_layer", set_first_class(300, "floor"), "an id outside 1 to 254"),
        ("nav2_semantic_layer", set_first_class(1, "wall"), "empty or not unique"),
        ("nav2_semantic_layer", set_attribute("class_map", []), "unknown ids"),
        ("late_subscribers", set_attribute("class_map", []), "a label of the vocabulary is missing"),
    ],
)
def test_detects_label_info_that_does_not_explain_the_mask(
    received: Received, consumer: str, change: Change, violation: str
) -> None:
    pytest.importorskip("vision_msgs", reason="no vision_msgs: it is part of a ROS installation")
    assert violation in find_violations(consumer, received.with_change("label_info", change))


def test_label_info_lists_every_label_and_has_the_threshold(received: Received) -> None:
    pytest.importorskip("vision_msgs", reason="no vision_msgs: it is part of a ROS installation")
    listed = {vision_class.class_id: vision_class.class_name for vision_class in received["label_info"].class_map}
    labels = {label.id: label.name for label in received["vocabulary"].labels}
    assert labels.items() <= listed.items()
    retired = {label.id: label.name for label in received["vocabulary"].retired}
    assert listed.items() - labels.items() <= retired.items()
    assert received["label_info"].threshold == pytest.approx(THRESHOLD)
