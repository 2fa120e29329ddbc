"""Fixtures for tests that start real nodes.

Import this module in a conftest.py, before anything that starts ROS.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

# Use a random domain on this machine only, so that the tests see no robot and no other test run.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 102))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"

from test.support.executables import Process, run_lseg_node
from test.support.node_harness import NAMESPACE, NODE, NodeHarness
from test.support.ros_client import RosClient, wait_until

__all__ = ["active", "harness", "robot", "ros_client", "unsubscribe_after_each_test"]


@pytest.fixture(scope="package")
def ros_client() -> Iterator[RosClient]:
    """A ROS client that subscribes, publishes and calls services."""
    with RosClient() as client:
        yield client


@pytest.fixture(scope="package")
def robot(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RosClient]:
    """The client, with a synthetic camera and the active node `/lseg`.

    A test may find the labels that an earlier test set.
    """
    logs = tmp_path_factory.mktemp("robot")
    with (
        Process("synthetic_camera", logs / "camera.log", rate_hz=6.0, seed=8) as camera,
        run_lseg_node(logs / "node.log", labels=["floor", "wall", "chair"], max_rate_hz=5.0),
    ):
        assert camera.alive, camera.output
        yield ros_client


@pytest.fixture(scope="package")
def harness(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeHarness]:
    """The node `/harness/lseg` without autostart, and a camera that the test controls."""

    def is_served() -> bool:
        return f"{NODE}/get_state" in dict(ros_client.node.get_service_names_and_types())

    log = tmp_path_factory.mktemp("harness") / "node.log"
    with Process("lseg_node", log, "-r", f"__ns:={NAMESPACE}", autostart=False, labels=["floor", "wall"]) as node:
        wait_until(lambda: not node.alive or is_served(), 240, "the node did not start")
        yield NodeHarness(ros_client, node)
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


@pytest.fixture
def active(harness: NodeHarness) -> NodeHarness:
    """The harness with its node active and without earlier masks and diagnostics."""
    harness.activate()
    harness.clear()
    return harness


@pytest.fixture(autouse=True)
def unsubscribe_after_each_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Destroy the subscriptions of a test.

    Otherwise the node would compute these outputs for the next test too.
    """
    if "ros_client" not in request.fixturenames:
        yield
        return
    client: RosClient = request.getfixturevalue("ros_client")
    kept = client.unsubscribe(keep=10**6)
    yield
    client.unsubscribe(keep=kept)
