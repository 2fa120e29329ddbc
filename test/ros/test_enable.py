"""Pausing and resuming."""

from __future__ import annotations

import time
from typing import Any

import pytest
from lseg_ros.srv import QueryLabel
from std_srvs.srv import SetBool

from test.support.node_harness import NAMESPACE, NODE, NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import wait_until


@pytest.fixture
def active(harness: NodeHarness) -> NodeHarness:
    harness.activate()
    harness.clear()
    return harness


def enable(harness: NodeHarness, data: bool) -> str:
    answer = harness.client.call_with_retry(SetBool, f"{NODE}/enable", SetBool.Request(data=data))
    assert answer.success
    return answer.message


@pytest.fixture
def paused(active: NodeHarness) -> Any:
    """The node, paused after a frame that had depth."""
    header = active.make_header()
    active.wait_for_mask(image=make_image(header), depth=make_depth(header, 2.5), info=make_camera_info(header))
    assert enable(active, False) == "paused"
    yield active
    if active.client.state(NODE) == "inactive":
        active.client.transition("activate", NODE)
    enable(active, True)
    active.activate()


def subscribers(harness: NodeHarness) -> int:
    return harness.client.node.count_subscribers(f"{NAMESPACE}/rgb/image")


def test_a_paused_node_listens_to_no_camera_and_says_paused(paused: NodeHarness):
    wait_until(lambda: subscribers(paused) == 0, 10)
    assert paused.wait_for_status("paused").level == b"\x00"


def test_frames_while_paused_are_gone_and_the_first_after_it_is_masked(paused: NodeHarness):
    wait_until(lambda: subscribers(paused) == 0, 10)
    paused.clear()
    for _ in range(5):
        paused.send(image=make_image(paused.make_header()))
        time.sleep(0.05)
    assert enable(paused, True) == "processing"
    wait_until(lambda: subscribers(paused) == 1, 10)
    assert not paused.mask.messages
    paused.wait_for_mask(image=make_image(paused.make_header()))


def test_the_last_frame_can_still_be_asked_with_its_depth(paused: NodeHarness):
    answer = paused.client.call_with_retry(QueryLabel, f"{NODE}/query", QueryLabel.Request(text="wall"))
    assert answer.success and answer.has_point and answer.point.z == pytest.approx(2.5)


def test_labels_can_be_changed_while_paused_and_hold_for_the_next_frame(paused: NodeHarness):
    epoch = paused.client.set_labels(["rug"], node=NODE).vocabulary.epoch
    assert paused.client.read_vocabulary(NODE).epoch == epoch
    enable(paused, True)
    mask = paused.wait_for_mask(image=make_image(paused.make_header()))
    (rug,) = paused.client.read_vocabulary(NODE).labels
    assert set(mask.data) <= {0, rug.id}
    paused.client.set_labels(["floor", "wall"], node=NODE)


def test_it_may_be_said_twice_and_survives_the_lifecycle(paused: NodeHarness):
    ros_client = paused.client
    assert enable(paused, False) == "paused"
    assert ros_client.transition("deactivate", NODE)
    paused.clear()
    paused.wait_for_status("not active")
    assert enable(paused, True) == "not active; the node will start processing when it is activated"
    assert enable(paused, False) == "not active; the node will stay paused when it is activated"
    assert ros_client.transition("activate", NODE)
    wait_until(lambda: subscribers(paused) == 0, 5)
    paused.wait_for_status("paused")
    assert enable(paused, True) == "processing" == enable(paused, True)
    wait_until(lambda: subscribers(paused) == 1, 10)
