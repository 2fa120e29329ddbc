"""Tests of the lifecycle: configure, activate, deactivate and cleanup."""

from __future__ import annotations

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2

from lseg_ros.ros import node as node_module
from test.support.node_harness import NAMESPACE, NODE, NodeHarness, make_frame, make_image
from test.support.ros_client import wait_until


@pytest.fixture
def unconfigured(harness: NodeHarness) -> NodeHarness:
    """The node in the unconfigured state, in which it starts without autostart."""
    if harness.client.state(NODE) == "active":
        assert harness.client.transition("deactivate", NODE)
    if harness.client.state(NODE) == "inactive":
        assert harness.client.transition("cleanup", NODE)
    return harness


def count_subscribers(harness: NodeHarness) -> int:
    """Count the subscribers of the camera's image."""
    return int(harness.client.node.count_subscribers(f"{NAMESPACE}/rgb/image"))


def test_publishes_while_configured_and_subscribes_while_active(unconfigured: NodeHarness) -> None:
    node = unconfigured.client.node
    assert unconfigured.client.transition("configure", NODE)
    wait_until(lambda: node.count_publishers(f"{NODE}/mask") == 1, 10)
    assert count_subscribers(unconfigured) == 0
    assert unconfigured.client.transition("activate", NODE)
    wait_until(lambda: count_subscribers(unconfigured) == 1, 10)
    assert unconfigured.client.transition("deactivate", NODE)
    wait_until(lambda: count_subscribers(unconfigured) == 0, 10)
    assert node.count_publishers(f"{NODE}/mask") == 1
    assert unconfigured.client.transition("cleanup", NODE)
    wait_until(lambda: node.count_publishers(f"{NODE}/mask") == 0, 10)


def test_cleanup_publishes_an_empty_cloud_for_each_label(unconfigured: NodeHarness) -> None:
    client = unconfigured.client
    client.set_labels(["floor", "wall"], node=NODE)
    unconfigured.activate()
    floor = client.listen(PointCloud2, f"{NODE}/points/floor")
    frame = make_frame(unconfigured.make_header())
    wait_until(lambda: unconfigured.wait_for_mask(**frame) and floor.messages, 10, "no cloud of the floor")
    assert client.transition("deactivate", NODE)
    count = len(floor.messages)
    assert client.transition("cleanup", NODE)
    wait_until(lambda: len(floor.messages) > count, 5, "no empty cloud")
    assert floor.messages[-1].width == 0
    assert [field.name for field in floor.messages[-1].fields] == ["x", "y", "z", "rgb"]


def test_labels_can_be_changed_in_every_state_and_survive_transitions(unconfigured: NodeHarness) -> None:
    client = unconfigured.client
    assert client.set_labels(["lamp"], node=NODE).success
    assert client.transition("configure", NODE)
    assert client.set_parameter("labels", ["lamp", "rug"], NODE).successful
    assert client.transition("activate", NODE)
    assert [label.name for label in client.read_vocabulary(NODE).labels] == ["lamp", "rug"]
    assert client.transition("deactivate", NODE)
    assert not client.set_parameter("labels", ["lamp", "lamp"], NODE).successful
    assert client.set_labels(["bench"], node=NODE).success
    assert client.transition("activate", NODE)
    assert [label.name for label in client.read_vocabulary(NODE).labels] == ["bench"]
    unconfigured.activate()
    unconfigured.wait_for_mask(image=make_image(unconfigured.make_header()))


def test_rejects_transitions_that_the_state_does_not_have(unconfigured: NodeHarness) -> None:
    assert not unconfigured.client.transition("activate", NODE)
    assert unconfigured.client.state(NODE) == "unconfigured"


@pytest.mark.parametrize("number", [Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DESTROY, 255])
def test_requests_by_number_are_answered(unconfigured: NodeHarness, number: int) -> None:
    request = ChangeState.Request(transition=Transition(id=number))
    assert not unconfigured.client.call(ChangeState, f"{NODE}/change_state", request).success
    assert unconfigured.client.state(NODE) == "unconfigured"


def test_a_request_with_an_unknown_label_is_logged_on_one_line(unconfigured: NodeHarness) -> None:
    request = ChangeState.Request(transition=Transition(label="fly\n[FATAL] forged"))

    def is_logged() -> bool:  # at the latest when an earlier test's failure no longer suppresses the line
        assert not unconfigured.client.call(ChangeState, f"{NODE}/change_state", request).success
        return r"cleanup, shutdown, got 'fly\n[FATAL] forged'" in unconfigured.process.output

    wait_until(is_logged, 20)
    assert "\n[FATAL] forged" not in unconfigured.process.output
    assert unconfigured.client.state(NODE) == "unconfigured"


class RecordedBond:
    """Stands for ``bondpy.bondpy.Bond``, which is no wheel, and records the calls."""

    def __init__(self, node: Node, topic: str, id: str) -> None:
        self.calls = [f"bond of {node.get_name()} on {topic} with {id}"]
        bonds.append(self)

    def start(self) -> None:
        self.calls.append("start")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


bonds: list[RecordedBond] = []


@pytest.mark.parametrize("autostart", [False, True])
def test_managed_node_keeps_a_bond_while_it_is_active(autostart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "Bond", RecordedBond)
    bonds.clear()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    parameters = [Parameter("autostart", value=autostart)]
    node = node_module.SegmentationNode(context=context, namespace="/bonded", parameter_overrides=parameters)
    try:
        for trigger in (node.trigger_configure, node.trigger_activate, node.trigger_deactivate, node.trigger_activate):
            assert trigger() == TransitionCallbackReturn.SUCCESS
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    calls = ["bond of lseg on bond with lseg", "start", "shutdown"]
    assert [bond.calls for bond in bonds] == ([] if autostart else [calls, calls])
