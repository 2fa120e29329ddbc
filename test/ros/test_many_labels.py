"""Tests with as many labels as there are ids, and of label changes during processing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2

from test.support.executables import run_lseg_node
from test.support.node_harness import NodeHarness, make_frame, make_image
from test.support.ros_client import RosClient, read_pixels, read_points, wait_until

NODE = "/many/lseg"
LABELS = [f"l{number}" for number in range(1, 255)]


@pytest.fixture(scope="module")
def many(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeHarness]:
    """An active node with 254 labels, two of which have a cloud.

    It is not shared, because it uses up all ids.
    """
    log = tmp_path_factory.mktemp("many") / "node.log"
    ids, colors = list(range(254, 0, -1)), ["#ff0000", *[""] * 252, "#00ff00"]
    settings = {"labels": LABELS, "class_ids": ids, "colors": colors, "cloud_labels": ["l1", "l254"]}
    # Among 254 labels that mean nothing, none reaches the network's own threshold.
    with run_lseg_node(log, "-r", "__ns:=/many", unlabeled_threshold=0.0, **settings) as node:
        harness = NodeHarness(ros_client, node, "/many")
        harness.activate()
        yield harness


def test_labels_have_the_given_ids_and_colors_and_other_colors_are_unique(many: NodeHarness) -> None:
    labels = many.client.get_labels(NODE).labels
    assert [label.name for label in labels] == LABELS
    assert [label.id for label in labels] == list(range(254, 0, -1))
    colors = [(label.color.r, label.color.g, label.color.b) for label in labels]
    assert colors[0] == (1, 0, 0)
    assert colors[-1] == (0, 1, 0)
    assert len(set(colors)) == len({label.slug for label in labels}) == 254


def test_254_labels_give_masks_and_clouds(many: NodeHarness, ros_client: RosClient) -> None:
    topics = ("points", "points/l1", "points/l254")
    listeners = {topic: ros_client.listen(PointCloud2, f"{NODE}/{topic}") for topic in topics}
    wait_until(lambda: all(ros_client.node.count_publishers(f"{NODE}/{topic}") for topic in topics), 10)
    assert not ros_client.node.count_publishers(f"{NODE}/points/l2")
    frame = make_frame(many.make_header())
    mask = many.wait_for_mask(**frame)
    pixels = read_pixels(mask)
    assert 1 <= pixels.min() < pixels.max() <= 254

    def is_complete() -> bool:  # the frame is sent again until the node has discovered all subscribers
        many.wait_for_mask(**frame)
        return all(listener.messages for listener in listeners.values())

    wait_until(is_complete, 20, "a cloud is missing")
    clouds = {topic: listener.messages[-1] for topic, listener in listeners.items()}
    assert all(cloud.header == mask.header for cloud in clouds.values())
    assert np.array_equal(read_points(clouds["points"])["label"], pixels)
    for name, label_id in (("l1", 254), ("l254", 1)):
        assert clouds[f"points/{name}"].width == (pixels == label_id).sum()


def test_rejects_a_new_label_when_all_ids_are_used(many: NodeHarness) -> None:
    response = many.client.set_labels(["one more"], node=NODE)
    assert not response.success
    assert "expected at most 254 different names" in response.message
    assert "'one more'" in response.message


def test_label_changes_lose_no_frame_and_apply_to_the_next_mask(many: NodeHarness, ros_client: RosClient) -> None:
    """Each image is sent after the previous mask, so that none is superseded."""
    stop = threading.Event()
    errors: list[str] = []

    def change_labels() -> None:
        for number in range(10**6):
            if stop.wait(0.1):
                return
            response = ros_client.set_labels(LABELS[number % 5 :: 50], node=NODE)
            if not response.success:
                errors.append(response.message)

    thread = threading.Thread(target=change_labels)
    thread.start()
    try:
        for _ in range(15):
            many.wait_for_mask(image=make_image(many.make_header()))
    finally:
        stop.set()
        thread.join()
    assert not errors
    ids = {label.id for label in ros_client.set_labels(LABELS[:3], node=NODE).vocabulary.labels}
    assert ids == {254, 253, 252}
    assert set(np.unique(read_pixels(many.wait_for_mask(image=make_image(many.make_header()))))) <= ids
    many.clear()
    wait_until(lambda: len(many.statuses()) >= 2, 20, "no diagnostics")  # the second one counts all masks

    def counts() -> tuple[int, int, int]:
        values = {value.key: value.value for value in many.statuses()[-1].values}
        dropped = sum(int(count) for name, count in values.items() if name.startswith("dropped"))
        return int(values["images received"]), int(values["frames processed"]), dropped

    def is_accounted_for() -> bool:
        received, processed, dropped = counts()
        return received == processed + dropped

    wait_until(is_accounted_for, 10, "an image was neither processed nor dropped")
    assert counts()[-1] <= many.resent  # only an image that was sent twice may be dropped
