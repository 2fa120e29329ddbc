"""As many labels as there are ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2

from test.ros.bench import Bench, camera_info, depth, image
from test.ros.consumer import Consumer, pixels_of, points_of, until
from test.ros.processes import Process

NODE = "/crowd/lseg"
LABELS = [f"l{number}" for number in range(1, 255)]


@pytest.fixture
def crowded(consumer: Consumer, tmp_path: Path) -> Iterator[Bench]:
    """An active node of its own, for ids are for ever: it looks for 254 labels, of which two have a cloud."""
    settings = {"labels": LABELS, "cloud_labels": ["l1", "l254"]}
    with Process("lseg_node", tmp_path / "node.log", "-r", "__ns:=/crowd", **settings) as node:
        bench = Bench(consumer, node, "/crowd")
        until(lambda: not node.alive or "looking for" in node.output, 90, "the node did not start")
        bench.activate()
        yield bench
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


def test_254_labels_give_masks_and_clouds(crowded: Bench, consumer: Consumer):
    header = crowded.header()
    vocabulary = consumer.live_vocabulary(NODE)
    assert [label.name for label in vocabulary.labels] == LABELS
    ids = {label.name: label.id for label in vocabulary.labels}
    assert len(set(ids.values())) == 254
    assert set(ids.values()) <= set(range(1, 255))
    heard = {topic: consumer.listen(PointCloud2, f"{NODE}/{topic}") for topic in ("points", "points/l1", "points/l254")}
    until(lambda: all(consumer.node.count_publishers(f"{NODE}/{topic}") for topic in heard), 10)
    assert not consumer.node.count_publishers(f"{NODE}/points/l2")
    mask = crowded.mask_of(image=image(header), depth=depth(header), info=camera_info(header))
    pixels = pixels_of(mask)
    assert 1 <= pixels.min() <= pixels.max() <= 254
    until(lambda: all(listener.messages for listener in heard.values()), 10, "a cloud is missing")
    clouds = {topic: listener.messages[-1] for topic, listener in heard.items()}
    assert all(cloud.header == mask.header for cloud in clouds.values())
    assert np.array_equal(points_of(clouds["points"])["label"], pixels)
    assert not consumer.set_labels(["one more"], node=NODE).success
    for name in ("l1", "l254"):
        assert clouds[f"points/{name}"].width == (pixels == ids[name]).sum()
