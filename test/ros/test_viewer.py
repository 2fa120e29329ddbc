"""The viewer of a running node: its feed over DDS, and its page as a process."""

from __future__ import annotations

import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import PointCloud2

pytest.importorskip("viser", reason="the extra view is not installed")

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.geometry import pack_rgb
from lseg_ros.model import PRESETS
from lseg_ros.ros.conversions import make_header
from lseg_ros.ros.topics import FRAME_QOS
from lseg_ros.ros.viewer import NodeFeed, ViewerConfig
from lseg_ros.structures import CLOUD_DTYPE
from lseg_ros.view.feed import LabeledFrame, MapCloud
from test.support.executables import Process
from test.support.ros_client import RosClient, wait_until


@pytest.fixture(scope="module")
def feed(robot: RosClient) -> Iterator[NodeFeed]:
    """The feed of the node `/lseg`."""
    feed = NodeFeed(robot.node, ViewerConfig(target="/lseg"))
    yield feed
    feed.rest()


def read_frame(feed: NodeFeed) -> LabeledFrame:
    """Wait for a frame with depth: points are complete from the second one on."""
    frames: list[LabeledFrame] = []

    def read() -> bool:
        try:
            frame = feed.read(0, 1.0)
        except ValueError:
            return False
        frames.extend([frame] if frame is not None else [])
        return bool(frames) and frames[-1].frame.depth_m is not None

    wait_until(read, 60, "no frame with depth")
    return frames[-1]


def test_a_frame_has_image_labels_and_depth_of_one_stamp(feed: NodeFeed) -> None:
    shown = read_frame(feed)
    assert shown.frame.intrinsics is not None
    assert shown.segmentation.label_map.shape == shown.frame.size
    assert set(np.unique(shown.segmentation.label_map)) <= {0, *(x.id for x in shown.segmentation.vocabulary.labels)}


def test_labels_go_through_the_service_and_its_reason_is_shown(feed: NodeFeed) -> None:
    feed.set_labels(["floor", "sofa|couch"], ["", "#ff0000"])
    wait_until(lambda: read_frame(feed).segmentation.vocabulary.entries == ("floor", "sofa|couch"), 20, "no new labels")
    vocabulary = read_frame(feed).segmentation.vocabulary
    assert vocabulary["sofa"].color == (255, 0, 0)
    with pytest.raises(ValueError, match="got 'Floor' twice"):
        feed.set_labels(["floor", "Floor"])
    words = shlex.split(feed.command(read_frame(feed), ""))
    assert words[:5] == ["ros2", "service", "call", "/lseg/set_labels", "lseg_ros/srv/SetLabels"]
    assert yaml.safe_load(words[5]) == {"labels": ["floor", "sofa|couch"]}


def test_a_query_returns_its_frame(feed: NodeFeed) -> None:
    shown = read_frame(feed)
    found = feed.query("floor")
    assert found.result.similarity.shape == found.frame.size == shown.frame.size
    column, row = found.result.pixel
    assert found.result.similarity[row, column] == pytest.approx(found.result.score)
    with pytest.raises(ValueError, match="text: expected a word"):
        feed.query(" ")


def test_a_threshold_is_a_parameter_of_the_node(feed: NodeFeed, robot: RosClient) -> None:
    feed.set_threshold(1.0)
    assert robot.get_parameter("unlabeled_threshold", "/lseg") == 1.0
    with pytest.raises(ValueError, match="unlabeled_threshold"):
        feed.set_threshold(2.0)
    feed.set_threshold(0.0)


@pytest.mark.parametrize(("parameter", "expected"), [(0.25, 0.25), (-1.0, PRESETS["demo"].unlabeled_threshold)])
def test_starts_at_the_threshold_that_the_node_uses(robot: RosClient, parameter: float, expected: float) -> None:
    """-1 stands for the threshold of the network."""
    assert robot.set_parameter("unlabeled_threshold", parameter, "/lseg").successful
    diagnostics = robot.listen(DiagnosticArray, "/diagnostics")
    wait_until(lambda: f"'unlabeled_threshold', value='{expected:g}'" in str(diagnostics.messages), 10, "not reported")
    feed = NodeFeed(robot.node, ViewerConfig(target="/lseg"))
    read_frame(feed)
    wait_until(lambda: feed.threshold is not None, 5, "no threshold")
    assert feed.threshold == pytest.approx(expected)
    assert not feed.cameras
    feed.rest()
    robot.set_parameter("unlabeled_threshold", 0.0, "/lseg")


@pytest.mark.parametrize("value", ["high", "nan", "2", ""])
def test_a_threshold_that_is_no_share_is_ignored(feed: NodeFeed, robot: RosClient, value: str) -> None:
    feed.rest()
    status = DiagnosticStatus(name="lseg: segmentation", values=[KeyValue(key="unlabeled_threshold", value=value)])
    feed._on_diagnostics(DiagnosticArray(status=[status]))
    assert feed.threshold is None


def test_the_node_computes_nothing_for_a_page_that_is_closed(feed: NodeFeed, robot: RosClient) -> None:
    read_frame(feed)
    assert robot.node.count_subscribers("/lseg/points") == 1
    feed.rest()
    wait_until(lambda: robot.node.count_subscribers("/lseg/points") == 0, 10, "still subscribed")


def test_shows_the_map_of_a_node_that_has_one(feed: NodeFeed, robot: RosClient) -> None:
    assert not feed.has_map() and feed.map_cloud("", set()) is None
    mapped = NodeFeed(robot.node, ViewerConfig(target="/mapped"))
    publisher = robot.node.create_publisher(PointCloud2, "/mapped/map/cloud", FRAME_QOS)
    wait_until(mapped.has_map, 10, "no map")
    assert publisher.get_subscription_count() == 0
    points = np.array([(1, 2, 3, 0), (4, 5, 6, 0)], CLOUD_DTYPE)
    points["rgb"] = pack_rgb(np.array([[[255, 128, 1], [0, 9, 255]]], np.uint8))[0]
    clouds: list[MapCloud] = []

    def receive() -> bool:
        publisher.publish(cloud_to_cdr(make_header(1, "map"), points, is_dense=True))
        cloud = mapped.map_cloud("", set())
        clouds.extend([cloud] if cloud is not None else [])
        return bool(clouds)

    wait_until(receive, 20, "no map was received")
    assert clouds[0].centers.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert clouds[0].colors.tolist() == [[255, 128, 1], [0, 9, 255]]
    with pytest.raises(ValueError, match="/mapped: expected"):
        mapped.map_cloud("red thing", set())
    mapped.rest()
    wait_until(lambda: publisher.get_subscription_count() == 0, 10, "still subscribed")
    robot.run_in_spin_thread(robot.node.destroy_publisher, publisher)


def test_says_what_is_missing(robot: RosClient) -> None:
    feed = NodeFeed(robot.node, ViewerConfig(target="/nothing"))
    with pytest.raises(ValueError, match="/nothing/query: expected a running node, got none"):
        feed.query("floor")
    with pytest.raises(ValueError, match="/nothing: expected frames, got no confidence,.* mask, vocabulary for 3 s"):
        while True:
            feed.read(0, 0.5)
    feed.rest()


def test_the_executable_serves_a_page_without_pytorch(tmp_path: Path) -> None:
    with Process("viewer", tmp_path / "log", port=0) as viewer:
        wait_until(lambda: not viewer.alive or "open http://127.0.0.1:" in viewer.output, 60, "no page")
        address = viewer.output.split("open ")[1].split()[0]
        with urllib.request.urlopen(address) as response:
            assert b"<html" in response.read()
        viewer.interrupt()
        assert viewer.wait(20) == 0
        assert "Traceback" not in viewer.output
    code = "import sys, lseg_ros.ros.viewer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
