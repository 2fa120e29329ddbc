"""configure, activate, deactivate, cleanup, and the end."""

from __future__ import annotations

import pytest
from sensor_msgs.msg import PointCloud2

from test.support.node_harness import NODE, NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import wait_until


@pytest.fixture
def unconfigured(harness: NodeHarness) -> NodeHarness:
    """The node as it is without autostart."""
    if harness.client.state(NODE) == "active":
        assert harness.client.transition("deactivate", NODE)
    if harness.client.state(NODE) == "inactive":
        assert harness.client.transition("cleanup", NODE)
    return harness


def subscribers(harness: NodeHarness) -> int:
    return harness.client.node.count_subscribers("/harness/rgb/image")


def test_topics_follow_the_state(unconfigured: NodeHarness):
    node = unconfigured.client.node
    assert unconfigured.client.transition("configure", NODE)
    wait_until(lambda: node.count_publishers(f"{NODE}/mask") == 1, 10)
    assert subscribers(unconfigured) == 0
    assert unconfigured.client.transition("activate", NODE)
    wait_until(lambda: subscribers(unconfigured) == 1, 10)
    assert unconfigured.client.transition("deactivate", NODE)
    wait_until(lambda: subscribers(unconfigured) == 0, 10)
    assert node.count_publishers(f"{NODE}/mask") == 1
    assert unconfigured.client.transition("cleanup", NODE)
    wait_until(lambda: node.count_publishers(f"{NODE}/mask") == 0, 10)


def test_topics_of_labels_that_go_with_cleanup_leave_an_empty_cloud(unconfigured: NodeHarness):
    ros_client = unconfigured.client
    ros_client.set_labels(["floor", "wall"], node=NODE)
    unconfigured.activate()
    floor = ros_client.listen(PointCloud2, f"{NODE}/points/floor")
    header = unconfigured.make_header()
    messages = {"image": make_image(header), "depth": make_depth(header), "info": make_camera_info(header)}
    wait_until(lambda: unconfigured.wait_for_mask(**messages) and floor.messages, 10, "no cloud of the floor")
    assert ros_client.transition("deactivate", NODE)
    count = len(floor.messages)
    assert ros_client.transition("cleanup", NODE)
    wait_until(lambda: len(floor.messages) > count, 5, "no goodbye")
    assert floor.messages[-1].width == 0
    assert [field.name for field in floor.messages[-1].fields] == ["x", "y", "z", "rgb"]


def test_labels_can_be_changed_in_every_state_and_are_kept(unconfigured: NodeHarness):
    ros_client = unconfigured.client
    assert ros_client.set_labels(["lamp"], node=NODE).success
    assert ros_client.transition("configure", NODE)
    assert ros_client.set_parameter("labels", ["lamp", "rug"], NODE).successful
    assert ros_client.transition("activate", NODE)
    assert [label.name for label in ros_client.read_vocabulary(NODE).labels] == ["lamp", "rug"]
    assert ros_client.transition("deactivate", NODE)
    assert not ros_client.set_parameter("labels", ["lamp", "lamp"], NODE).successful
    assert ros_client.set_labels(["bench"], node=NODE).success
    assert ros_client.transition("activate", NODE)
    assert [label.name for label in ros_client.read_vocabulary(NODE).labels] == ["bench"]
    unconfigured.activate()
    unconfigured.wait_for_mask(image=make_image(unconfigured.make_header()))


def test_a_transition_that_does_not_exist_ends_nothing(unconfigured: NodeHarness):
    assert not unconfigured.client.transition("activate", NODE)
    assert unconfigured.client.state(NODE) == "unconfigured"
