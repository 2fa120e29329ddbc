"""The results of a bag equal those that the live node publishes for the same messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lseg_ros.msg import SegmentationSummary
from lseg_ros.msg import Vocabulary as VocabularyMessage
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from lseg_ros.bags import Bag
from lseg_ros.cli import main
from test.support.bags import DEPTH, IMAGE, INFO, make_recording, write_bag
from test.support.node_harness import NODE, NodeHarness
from test.support.ros_client import wait_until

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
    return messages


def as_comparable(message: Any) -> Any:
    """Return bytes of points and strings of other messages, in which NaN equals NaN."""
    if isinstance(message, PointCloud2):
        return str(message.header), message.width, message.height, np.asarray(message.data).tobytes()
    return str(message)


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
        active.wait_for_mask(**messages)
        stamp = messages["image"].header.stamp

        def received(stamp: Any = stamp) -> dict[str, Any] | None:
            found = {
                name: message
                for name, listener in listeners.items()
                for message in list(listener.messages)
                if message.header.stamp == stamp
            }
            return found if len(found) == len(TYPES) else None

        live = wait_until(received, 20, "the outputs of a frame are incomplete")
        for name, message in live.items():
            expected = offline[name][number]
            if name == "summary":
                expected.epoch = message.epoch  # the node has had other labels before
            assert as_comparable(message) == as_comparable(expected), name
    (vocabulary,) = offline["vocabulary"]
    assert vocabulary.labels == response.vocabulary.labels
    assert vocabulary.model == response.vocabulary.model
