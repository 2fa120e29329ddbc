"""The SROS2 policy allows what the node uses, and nothing else."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy

from lseg_ros.ros.topics import DIAGNOSTICS, INPUTS, OUTPUTS, SERVICES
from test.support.ros_client import RosClient, wait_until

POLICY = Path(__file__).resolve().parents[2] / "config/sros2_policy.xml"
# What a node uses only with some settings, packages or distributions.
MAP_SERVICES = {f"/lseg/map/{name}" for name in ("find", "save", "load", "reset")}
OPTIONAL = {
    "subscribe": {
        "/rgb/image/compressed",
        "/depth/image/compressedDepth",
        "/depth/camera_info",
        "/cloud",
        "/clock",
        "/parameter_events",
        "/bond",
        "/odom",
        "/pose",
        "/tf",
        "/tf_static",
    },
    "publish": {"/lseg/label_info", "/bond", "/lseg/cloud", "/lseg/map/cloud", "/lseg/map/markers"},
    "reply": {"/lseg/get_type_description", *MAP_SERVICES},
}


def read_rules(permission: str, node: str = "lseg") -> set[str]:
    """Read the full names that a node may publish, subscribe, request or reply."""
    profile = ElementTree.parse(POLICY).find(f"enclaves/enclave[@path='/{node}']/profiles/profile")
    assert profile is not None and (profile.get("ns"), profile.get("node")) == ("/", node)
    names = [item.text or "" for group in profile if group.get(permission) == "ALLOW" for item in group]
    return {resolve(name, node) for name in names}


def resolve(name: str, node: str = "lseg") -> str:
    """Return the full name of a topic or service of a node."""
    return name if name.startswith("/") else f"/{node}{name[1:]}" if name.startswith("~") else f"/{name}"


def allows(rules: Iterable[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, rule) for rule in rules)


def test_the_policy_covers_the_declared_topics_and_services() -> None:
    """Without a node, so that a new topic is noticed even if it depends on a setting."""
    declared = {
        "subscribe": [topic.name for topic in INPUTS],
        "publish": [topic.name for topic in OUTPUTS],
        "reply": [service.name for service in SERVICES],
    }
    for permission, names in declared.items():
        rules = read_rules(permission)
        assert [name for name in names if not allows(rules, resolve(name))] == []
    assert allows(read_rules("publish"), DIAGNOSTICS.name)


@pytest.mark.parametrize(
    ("permission", "method"),
    [
        ("publish", "get_publisher_names_and_types_by_node"),
        ("subscribe", "get_subscriber_names_and_types_by_node"),
        ("reply", "get_service_names_and_types_by_node"),
    ],
)
def test_the_policy_allows_what_a_running_node_uses_and_nothing_else(
    robot: RosClient, permission: str, method: str
) -> None:
    list_names: Callable[[str, str], list[tuple[str, list[str]]]] = getattr(robot.node, method)
    rules = read_rules(permission)

    def unused() -> set[str]:
        used = {name for name, _ in list_names("lseg", "/")}
        return {rule for rule in rules - OPTIONAL[permission] if not fnmatch.filter(used, rule)}

    wait_until(lambda: not unused(), 20, f"unused: {unused()}")
    assert [name for name, _ in list_names("lseg", "/") if not allows(rules, name)] == []


@pytest.mark.parametrize(
    ("permission", "method", "optional"),
    [
        ("publish", "get_publisher_names_and_types_by_node", set[str]()),
        (
            "subscribe",
            "get_subscriber_names_and_types_by_node",
            {"/rgb/image/compressed", "/clock", "/parameter_events"},
        ),
        ("reply", "get_service_names_and_types_by_node", {"/viewer/get_type_description"}),
        ("request", "get_client_names_and_types_by_node", set[str]()),
    ],
)
def test_the_policy_allows_what_the_viewer_uses_and_nothing_else(
    robot: RosClient, permission: str, method: str, optional: set[str]
) -> None:
    pytest.importorskip("viser", reason="the extra view is not installed")
    from lseg_ros.ros.viewer import NodeFeed, ViewerConfig

    viewer = rclpy.create_node("viewer", context=robot.node.context)
    feed = NodeFeed(viewer, ViewerConfig())
    feed.read(0, 0.0)  # subscribes
    feed.map_cloud("", set())
    rules = read_rules(permission, "viewer")

    def used() -> set[str]:
        return {name for name, _ in getattr(robot.node, method)("viewer", "/")}

    try:
        wait_until(lambda: rules - optional <= used(), 20, "the policy allows what is not used")
        assert used() <= rules
    finally:
        viewer.destroy_node()


def test_other_topics_and_services_are_denied() -> None:
    assert not allows(read_rules("subscribe"), "/cmd_vel")
    assert not allows(read_rules("publish"), "/lseg/mask/other")
    assert not allows(read_rules("reply"), "/lseg/shutdown")


@pytest.mark.skipif(
    importlib.util.find_spec("sros2") is None, reason="no sros2: it is part of a ROS from apt, not of the wheels"
)
def test_sros2_accepts_the_policy() -> None:
    from sros2.policy import load_policy

    load_policy(POLICY)
