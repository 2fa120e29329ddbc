"""The results of a bag equal those that the live node publishes for the same messages."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
from lseg_ros.msg import Vocabulary as VocabularyMessage
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from lseg_ros.bags import Bag
from lseg_ros.cli import main
from lseg_ros.inference import SegmenterConfig
from lseg_ros.model import PRESETS
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros import labels
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.vocabulary import Vocabulary
from test.support.bags import DEPTH, IMAGE, INFO, make_recording, write_bag
from test.support.node_harness import NODE, NodeHarness
from test.support.ros_client import Listener

FRAMES = 3
TYPES = {
    "mask": Image,
    "confidence": Image,
    "overlay": Image,
    "camera_info": CameraInfo,
    "points": PointCloud2,
    "points/floor": PointCloud2,
    "points/wall": PointCloud2,
    "summary": SegmentationSummary,
}
LABELS = ["floor", "wall"]  # the ids of the first labels of the node are the same in every test


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The messages of the results by topic, parsed by rclpy."""
    folder = tmp_path_factory.mktemp("offline")
    bag = write_bag(folder / "bag", make_recording(FRAMES))
    outputs = ("--outputs", "overlay", "points", "clouds", "summary")
    same_engine = ("--engine", "torch")  # ONNX Runtime rounds differently
    assert main(["segment", str(bag), "--labels", *LABELS, *outputs, *same_engine, "--out", str(folder)]) == 0
    messages: dict[str, list[Any]] = {}
    with Bag(folder / "recording_segmented") as results:
        for name, kind in {**TYPES, "vocabulary": VocabularyMessage}.items():
            data = results.messages([f"/lseg/{name}"])
            messages[name] = [deserialize_message(message.data, kind) for message in data]
        topic = "/lseg/label_info"  # its package is not always installed
        messages["label_info"] = [results.deserialize(topic, message.data) for message in results.messages([topic])]
    return messages


def as_comparable(message: Any) -> Any:
    """Return bytes of points and strings of other messages, in which NaN equals NaN."""
    if isinstance(message, PointCloud2):
        return str(message.header), message.width, message.height, np.asarray(message.data).tobytes()
    return str(message)


def wait_for_all(
    active: NodeHarness, messages: dict[str, Any], listeners: dict[str, Listener], tries: int = 5
) -> dict[str, Any]:
    """Publish a frame until all of its outputs arrive, and return these by topic.

    The node does not compute an output before it has discovered the subscriber.
    """
    stamp = messages["image"].header.stamp
    for _ in range(tries):
        active.wait_for_mask(**messages)
        deadline_s = time.monotonic() + 4.0
        while time.monotonic() < deadline_s:
            found = {
                name: message
                for name, listener in listeners.items()
                for message in list(listener.messages)
                if message.header.stamp == stamp
            }
            if len(found) == len(listeners):
                return found
            time.sleep(0.01)
    raise AssertionError(f"expected the outputs {', '.join(listeners)}, got {', '.join(found)}")


def test_offline_results_equal_those_of_the_node(active: NodeHarness, offline: dict[str, list[Any]]) -> None:
    client = active.client
    response = client.set_labels(LABELS, node=NODE)
    assert response.success
    listeners = {name: client.listen(kind, f"{NODE}/{name}") for name, kind in TYPES.items()}
    for number in range(FRAMES):
        frame = {message.topic: message.data for message in make_recording(FRAMES)[5 * number + 1 : 5 * number + 6]}
        messages = {
            "image": deserialize_message(frame[IMAGE], Image),
            "depth": deserialize_message(frame[DEPTH], Image),
            "info": deserialize_message(frame[INFO], CameraInfo),
        }
        live = wait_for_all(active, messages, listeners)
        for name, message in live.items():
            expected = offline[name][number]
            if name == "summary":
                expected.epoch = message.epoch  # the node has had other labels before
            assert as_comparable(message) == as_comparable(expected), name
    (vocabulary,) = offline["vocabulary"]
    assert vocabulary.labels == response.vocabulary.labels
    assert vocabulary.model == response.vocabulary.model


def test_label_info_equals_what_the_node_publishes(
    offline: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without DDS, so that it runs where vision_msgs is not installed."""
    published: dict[str, list[Any]] = {}

    def create_publisher(_: type, name: str, __: object) -> Any:
        return SimpleNamespace(publish=published.setdefault(name, []).append)

    def make_label_info(threshold: float) -> Any:
        return SimpleNamespace(header=Header(), class_map=[], threshold=threshold)

    monkeypatch.setattr(labels, "LabelInfo", make_label_info)
    monkeypatch.setattr(labels, "VisionClass", SimpleNamespace, raising=False)
    stamp = offline["vocabulary"][0].header.stamp
    threshold = PRESETS["demo"].unlabeled_threshold
    settings = NodeConfig(labels=tuple(LABELS)), SegmenterConfig(), PipelineConfig()
    state = labels.ActiveState(*settings, Vocabulary.of(LABELS), network_threshold=threshold)
    labels.VocabularyPublisher(SimpleNamespace(create_publisher=create_publisher), "demo").publish(state, stamp)
    (expected,), (given,) = published["~/label_info"], offline["label_info"]
    assert [vars(item) for item in expected.class_map] == [
        {"class_id": item.class_id, "class_name": item.class_name} for item in given.class_map
    ]
    assert given.threshold == pytest.approx(expected.threshold) and threshold > 0
    assert (given.header.frame_id, given.header.stamp.sec, given.header.stamp.nanosec) == (
        expected.header.frame_id,
        expected.header.stamp.sec,
        expected.header.stamp.nanosec,
    )
