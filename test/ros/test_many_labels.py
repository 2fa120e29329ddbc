"""As many labels as there are ids, and changes of them while frames come."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2

from test.support.executables import Process
from test.support.node_harness import NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import RosClient, read_pixels, read_points, wait_until

NODE = "/crowd/lseg"
LABELS = [f"l{number}" for number in range(1, 255)]


@pytest.fixture(scope="module")
def crowded(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeHarness]:
    """An active node of its own, for ids are for ever: it looks for 254 labels, of which two have a cloud."""
    log = tmp_path_factory.mktemp("crowd") / "node.log"
    ids, colors = list(range(254, 0, -1)), ["#ff0000", *[""] * 252, "#00ff00"]
    settings = {"labels": LABELS, "class_ids": ids, "colors": colors, "cloud_labels": ["l1", "l254"]}
    with Process("lseg_node", log, "-r", "__ns:=/crowd", **settings) as node:
        harness = NodeHarness(ros_client, node, "/crowd")
        wait_until(lambda: not node.alive or "looking for" in node.output, 90, "the node did not start")
        harness.activate()
        yield harness
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


def test_each_has_the_id_and_the_color_it_was_given_or_one_like_no_other(crowded: NodeHarness):
    labels = crowded.client.get_labels(NODE).labels
    assert [label.name for label in labels] == LABELS
    assert [label.id for label in labels] == list(range(254, 0, -1))
    colors = [(each.color.r, each.color.g, each.color.b) for each in labels]
    assert colors[0] == (1, 0, 0) and colors[-1] == (0, 1, 0)
    assert len(set(colors)) == len({label.slug for label in labels}) == 254


def test_254_labels_give_masks_and_clouds(crowded: NodeHarness, ros_client: RosClient):
    header = crowded.make_header()
    heard = {
        topic: ros_client.listen(PointCloud2, f"{NODE}/{topic}") for topic in ("points", "points/l1", "points/l254")
    }
    wait_until(lambda: all(ros_client.node.count_publishers(f"{NODE}/{topic}") for topic in heard), 10)
    assert not ros_client.node.count_publishers(f"{NODE}/points/l2")
    frame = {"image": make_image(header), "depth": make_depth(header), "info": make_camera_info(header)}
    mask = crowded.wait_for_mask(**frame)
    pixels = read_pixels(mask)
    assert 1 <= pixels.min() < pixels.max() <= 254
    # sent again until the node knows of every listener
    wait_until(
        lambda: crowded.wait_for_mask(**frame) and all(each.messages for each in heard.values()),
        20,
        "a cloud is missing",
    )
    clouds = {topic: listener.messages[-1] for topic, listener in heard.items()}
    assert all(cloud.header == mask.header for cloud in clouds.values())
    assert np.array_equal(read_points(clouds["points"])["label"], pixels)
    for name, number in (("l1", 254), ("l254", 1)):
        assert clouds[f"points/{name}"].width == (pixels == number).sum()


def test_when_all_ids_were_given_out_a_new_label_is_refused_by_name(crowded: NodeHarness):
    response = crowded.client.set_labels(["one more"], node=NODE)
    assert not response.success
    assert "expected at most 254 different names" in response.message and "'one more'" in response.message


def test_a_change_costs_no_frame_and_takes_effect_in_the_next_mask(crowded: NodeHarness, ros_client: RosClient):
    """Each image waits for its mask before the next is sent, so none is dropped because a newer one came."""
    stop = threading.Event()
    refused: list[str] = []

    def change() -> None:
        for number in range(10**6):
            if stop.wait(0.1):
                return
            response = ros_client.set_labels(LABELS[number % 5 :: 50], node=NODE)
            refused.extend([response.message] * (not response.success))

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(15):
            crowded.wait_for_mask(image=make_image(crowded.make_header()))
    finally:
        stop.set()
        changing.join()
    assert not refused
    ids = {label.id for label in ros_client.set_labels(LABELS[:3], node=NODE).vocabulary.labels}
    assert ids == {254, 253, 252}
    assert set(np.unique(read_pixels(crowded.wait_for_mask(image=make_image(crowded.make_header()))))) <= ids
    crowded.clear()
    # an image that was sent twice because its mask was late may have been dropped for itself, and no other was
    wait_until(
        lambda: len(crowded.statuses()) >= 2, 20, "no diagnostics"
    )  # of which the second was made after all masks

    def counts() -> tuple[int, int, dict[str, int]]:
        values = {each.key: each.value for each in crowded.statuses()[-1].values}
        dropped = {name: int(count) for name, count in values.items() if name.startswith("dropped")}
        return int(values["images received"]), int(values["frames processed"]), dropped

    def all_accounted_for() -> bool:
        received, processed, dropped = counts()
        return received == processed + sum(dropped.values())

    wait_until(all_accounted_for, 10, "an image was neither processed nor dropped")
    dropped = counts()[-1]
    assert sum(dropped.values()) <= crowded.resent, dropped
