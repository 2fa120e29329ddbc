"""Two nodes for all tests: one that looks at the synthetic world, and one on a bench, for what should not happen."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

# A domain of this run's own, on this machine only: no robot, no other run is to be met.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 102))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"

from test.support.executables import Process
from test.support.node_harness import BENCH, NodeHarness
from test.support.ros_client import RosClient, wait_until


@pytest.fixture(scope="package")
def consumer() -> Iterator[RosClient]:
    with RosClient() as consumer:
        yield consumer


@pytest.fixture(scope="package")
def robot(consumer: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RosClient]:
    """A consumer where the synthetic camera and the node `/lseg` run; labels change from test to test."""
    logs = tmp_path_factory.mktemp("robot")
    with (
        Process("synthetic_camera", logs / "camera.log", rate_hz=6.0, seed=8) as camera,
        Process("lseg_node", logs / "node.log", labels=["floor", "wall", "chair"], max_rate_hz=5.0) as node,
    ):
        wait_until(lambda: not node.alive or "looking for" in node.output, 90, "the node did not start")
        assert node.alive and camera.alive, node.output + camera.output
        yield consumer
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


@pytest.fixture(scope="package")
def bench(consumer: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeHarness]:
    """A node `/bench/lseg` that does not start by itself, and a camera in the test's hands."""
    log = tmp_path_factory.mktemp("bench") / "node.log"
    with Process("lseg_node", log, "-r", f"__ns:={BENCH}", autostart=False, labels=["floor", "wall"]) as node:
        yield NodeHarness(consumer, node)
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


@pytest.fixture(autouse=True)
def _listen_no_longer_than_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What one test listens to is not made any more, and costs no time, in the next."""
    if "consumer" not in request.fixturenames:
        yield
        return
    consumer: RosClient = request.getfixturevalue("consumer")
    kept = consumer.forget(10**6)
    yield
    consumer.forget(kept)
