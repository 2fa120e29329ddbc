"""Tests of pausing and resuming the node with ~/enable."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from lseg_ros.srv import QueryLabel
from std_srvs.srv import SetBool

from test.support.node_harness import NAMESPACE, NODE, NodeHarness, make_depth, make_frame, make_image
from test.support.ros_client import wait_until


def enable(harness: NodeHarness, data: bool) -> str:
    """Call ~/enable and return the message of its response."""
    response = harness.client.call_with_retry(SetBool, f"{NODE}/enable", SetBool.Request(data=data))
    assert response.success
    return str(response.message)


@pytest.fixture
def paused(active: NodeHarness) -> Iterator[NodeHarness]:
    """The node, paused after a frame with depth."""
    header = active.make_header()
    active.wait_for_mask(**make_frame(header, depth=make_depth(header, 2.5)))
    assert enable(active, False) == "paused"
    yield active
    if active.client.state(NODE) == "inactive":
        active.client.transition("activate", NODE)
    enable(active, True)
    active.activate()


def count_subscribers(harness: NodeHarness) -> int:
    """Count the subscribers of the camera's image."""
    return int(harness.client.node.count_subscribers(f"{NAMESPACE}/rgb/image"))


def test_paused_node_subscribes_to_no_camera_and_reports_that_it_is_paused(paused: NodeHarness) -> None:
    wait_until(lambda: count_subscribers(paused) == 0, 10)
    assert paused.wait_for_status("paused").level == b"\x00"


def test_ignores_frames_while_paused_and_processes_the_first_one_afterwards(paused: NodeHarness) -> None:
    wait_until(lambda: count_subscribers(paused) == 0, 10)
    paused.clear()
    for _ in range(5):
        paused.send(image=make_image(paused.make_header()))
        time.sleep(0.05)
    assert enable(paused, True) == "processing"
    wait_until(lambda: count_subscribers(paused) == 1, 10)
    assert not paused.mask.messages
    paused.wait_for_mask(image=make_image(paused.make_header()))


def test_last_frame_can_be_queried_while_paused(paused: NodeHarness) -> None:
    response = paused.client.call_with_retry(QueryLabel, f"{NODE}/query", QueryLabel.Request(text="wall"))
    assert response.success
    assert response.has_point
    assert response.point.z == pytest.approx(2.5)


def test_labels_set_while_paused_apply_to_the_next_frame(paused: NodeHarness) -> None:
    epoch = paused.client.set_labels(["rug"], node=NODE).vocabulary.epoch
    assert paused.client.read_vocabulary(NODE).epoch == epoch
    enable(paused, True)
    mask = paused.wait_for_mask(image=make_image(paused.make_header()))
    (rug,) = paused.client.read_vocabulary(NODE).labels
    assert set(mask.data) <= {0, rug.id}
    paused.client.set_labels(["floor", "wall"], node=NODE)


def test_pause_is_idempotent_and_survives_lifecycle_transitions(paused: NodeHarness) -> None:
    client = paused.client
    assert enable(paused, False) == "paused"
    assert client.transition("deactivate", NODE)
    paused.clear()
    paused.wait_for_status("not active")
    assert enable(paused, True) == "not active; the node will start processing when it is activated"
    assert enable(paused, False) == "not active; the node will stay paused when it is activated"
    assert client.transition("activate", NODE)
    wait_until(lambda: count_subscribers(paused) == 0, 5)
    paused.wait_for_status("paused")
    assert enable(paused, True) == "processing" == enable(paused, True)
    wait_until(lambda: count_subscribers(paused) == 1, 10)
