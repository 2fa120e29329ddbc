"""configure, activate, deactivate, cleanup, and the end."""

from __future__ import annotations

import pytest
from sensor_msgs.msg import PointCloud2

from test.support.node_harness import NODE, NodeHarness, camera_info, depth, image
from test.support.ros_client import wait_until


@pytest.fixture
def unconfigured(bench: NodeHarness) -> NodeHarness:
    """The node as it is without autostart."""
    if bench.consumer.state(NODE) == "active":
        assert bench.consumer.transition("deactivate", NODE)
    if bench.consumer.state(NODE) == "inactive":
        assert bench.consumer.transition("cleanup", NODE)
    return bench


def subscribers(bench: NodeHarness) -> int:
    return bench.consumer.node.count_subscribers("/bench/rgb/image")


def test_topics_follow_the_state(unconfigured: NodeHarness):
    node = unconfigured.consumer.node
    assert unconfigured.consumer.transition("configure", NODE)
    wait_until(lambda: node.count_publishers(f"{NODE}/mask") == 1, 10)
    assert subscribers(unconfigured) == 0
    assert unconfigured.consumer.transition("activate", NODE)
    wait_until(lambda: subscribers(unconfigured) == 1, 10)
    assert unconfigured.consumer.transition("deactivate", NODE)
    wait_until(lambda: subscribers(unconfigured) == 0, 10)
    assert node.count_publishers(f"{NODE}/mask") == 1
    assert unconfigured.consumer.transition("cleanup", NODE)
    wait_until(lambda: node.count_publishers(f"{NODE}/mask") == 0, 10)


def test_topics_of_labels_that_go_with_cleanup_leave_an_empty_cloud(unconfigured: NodeHarness):
    consumer = unconfigured.consumer
    consumer.set_labels(["floor", "wall"], node=NODE)
    unconfigured.activate()
    floor = consumer.listen(PointCloud2, f"{NODE}/points/floor")
    header = unconfigured.header()
    messages = {"image": image(header), "depth": depth(header), "info": camera_info(header)}
    wait_until(lambda: unconfigured.mask_of(**messages) and floor.messages, 10, "no cloud of the floor")
    assert consumer.transition("deactivate", NODE)
    count = len(floor.messages)
    assert consumer.transition("cleanup", NODE)
    wait_until(lambda: len(floor.messages) > count, 5, "no goodbye")
    assert floor.messages[-1].width == 0
    assert [field.name for field in floor.messages[-1].fields] == ["x", "y", "z", "rgb"]


def test_labels_can_be_changed_in_every_state_and_are_kept(unconfigured: NodeHarness):
    consumer = unconfigured.consumer
    assert consumer.set_labels(["lamp"], node=NODE).success
    assert consumer.transition("configure", NODE)
    assert consumer.set_parameter("labels", ["lamp", "rug"], NODE).successful
    assert consumer.transition("activate", NODE)
    assert [label.name for label in consumer.live_vocabulary(NODE).labels] == ["lamp", "rug"]
    assert consumer.transition("deactivate", NODE)
    assert not consumer.set_parameter("labels", ["lamp", "lamp"], NODE).successful
    assert consumer.set_labels(["bench"], node=NODE).success
    assert consumer.transition("activate", NODE)
    assert [label.name for label in consumer.live_vocabulary(NODE).labels] == ["bench"]
    unconfigured.activate()
    unconfigured.mask_of(image=image(unconfigured.header()))


def test_a_transition_that_does_not_exist_ends_nothing(unconfigured: NodeHarness):
    assert not unconfigured.consumer.transition("activate", NODE)
    assert unconfigured.consumer.state(NODE) == "unconfigured"
