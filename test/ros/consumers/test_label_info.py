"""label_info is published before the masks it explains, and only on changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image

from test.support.ros_client import LATCHED, RELIABLE, Listener, RosClient, read_pixels, wait_until

LabelInfo = pytest.importorskip("vision_msgs.msg", reason="no vision_msgs: it is part of a ROS installation").LabelInfo

GRACE_S = 1.5


@pytest.fixture
def label_info(robot: RosClient) -> Iterator[Listener]:
    """The messages on label_info, after earlier labels are no longer listed.

    The labels are floor and wall.
    """
    assert robot.set_parameter("retire_grace_s", GRACE_S).successful
    assert robot.set_labels(["floor", "wall"]).success
    listener = robot.listen(LabelInfo, "/lseg/label_info", LATCHED)
    wait_until(lambda: listener.messages and names(listener.messages[-1]) == {"floor", "wall"}, 10, "other labels")
    yield listener
    robot.set_parameter("retire_grace_s", 5.0)


def names(label_info: Any) -> set[str]:
    """Return the names that a message lists."""
    return {vision_class.class_name for vision_class in label_info.class_map}


def test_removed_labels_stay_listed_for_the_grace_period(robot: RosClient, label_info: Listener) -> None:
    robot.set_labels(["floor", "chair"])
    wait_until(lambda: names(label_info.messages[-1]) == {"floor", "wall", "chair"}, 5, "the wall is not listed")
    listed_s = label_info.received_s[-1]
    wait_until(lambda: names(label_info.messages[-1]) == {"floor", "chair"}, 10, "the wall is still listed")
    assert label_info.received_s[-1] - listed_s > GRACE_S - 0.3


def test_publishes_nothing_without_changes(robot: RosClient, label_info: Listener) -> None:
    count = len(label_info.messages)
    robot.listen(Image, "/lseg/mask").wait_for(3)
    robot.set_labels(["floor", "wall"])
    time.sleep(0.5)
    assert len(label_info.messages) == count


@pytest.mark.usefixtures("label_info")
def test_new_ids_are_listed_before_the_first_mask_with_them(robot: RosClient) -> None:
    messages: list[Any] = []
    robot.listen(LabelInfo, "/lseg/label_info", LATCHED, messages.append)
    robot.listen(Image, "/lseg/mask", RELIABLE, messages.append)
    wait_until(lambda: len(messages) > 3, 10)
    robot.set_labels(["ceiling", "table"])
    count = len(messages)
    wait_until(lambda: len(messages) > count + 3, 10)
    known: set[int] = set()
    for message in messages[1:] if isinstance(messages[0], Image) else messages:
        if isinstance(message, LabelInfo):
            known = {0, *(vision_class.class_id for vision_class in message.class_map)}
        else:
            assert not known or set(np.unique(read_pixels(message)).tolist()) <= known
