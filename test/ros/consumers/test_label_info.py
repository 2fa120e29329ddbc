"""vision_msgs/LabelInfo over time: before the masks it explains, on change only, and a while longer than the words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image

from test.support.ros_client import LATCHED, RELIABLE, Listener, RosClient, read_pixels, wait_until

LabelInfo = pytest.importorskip(
    "vision_msgs.msg", reason="no vision_msgs here, it comes with a ROS installation"
).LabelInfo

GRACE_S = 1.5


@pytest.fixture
def told(robot: RosClient) -> Iterator[Listener]:
    """What label_info says from now on, and what it said last; labels are floor and wall, others' grace is over."""
    assert robot.set_parameter("retire_grace_s", GRACE_S).successful
    assert robot.set_labels(["floor", "wall"]).success
    listener = robot.listen(LabelInfo, "/lseg/label_info", LATCHED)
    wait_until(lambda: listener.messages and names(listener.messages[-1]) == {"floor", "wall"}, 10, "other labels")
    yield listener
    robot.set_parameter("retire_grace_s", 5.0)


def names(label_info: Any) -> set[str]:
    return {each.class_name for each in label_info.class_map}


def test_a_label_that_is_no_longer_looked_for_stays_listed_for_its_grace(robot: RosClient, told: Listener):
    robot.set_labels(["floor", "chair"])
    wait_until(lambda: names(told.messages[-1]) == {"floor", "wall", "chair"}, 5, "the wall is not listed any more")
    since_s = told.received_s[-1]
    wait_until(lambda: names(told.messages[-1]) == {"floor", "chair"}, 10, "the wall stays listed")
    assert told.received_s[-1] - since_s > GRACE_S - 0.3


def test_nothing_is_told_while_nothing_changes(robot: RosClient, told: Listener):
    count = len(told.messages)
    robot.listen(Image, "/lseg/mask").wait_for(3)
    robot.set_labels(["floor", "wall"])
    time.sleep(0.5)
    assert len(told.messages) == count


def test_masks_with_a_new_id_come_after_it_was_listed(robot: RosClient, told: Listener):
    order: list[Any] = []
    robot.listen(LabelInfo, "/lseg/label_info", LATCHED, order.append)
    robot.listen(Image, "/lseg/mask", RELIABLE, order.append)
    wait_until(lambda: len(order) > 3, 10)
    robot.set_labels(["ceiling", "table"])
    count = len(order)
    wait_until(lambda: len(order) > count + 3, 10)
    known: set[int] = set()
    for each in order[1:] if isinstance(order[0], Image) else order:
        if isinstance(each, LabelInfo):
            known = {0, *(entry.class_id for entry in each.class_map)}
        else:
            assert not known or set(np.unique(read_pixels(each)).tolist()) <= known
