"""The language map of the node: poses, services, cloud and markers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from geometry_msgs.msg import PoseStamped
from lseg_ros.srv import MapFile, MapFind
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger

from test.support.executables import Process
from test.support.node_harness import NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import RELIABLE, RosClient, wait_until

NAMESPACE = "/mapping"
NODE = f"{NAMESPACE}/lseg"


class MappingHarness(NodeHarness):
    """A harness that also publishes the pose of the camera."""

    def __init__(self, client: RosClient, process: Process) -> None:
        super().__init__(client, process, NAMESPACE)
        self.pose = client.node.create_publisher(PoseStamped, f"{NAMESPACE}/pose", RELIABLE)

    def show(self, x_m: float = 0.0, frame_id: str = "map") -> None:
        """Publish a frame of a wall 2 m ahead, with the pose of the camera before and after it."""
        header = self.make_header()
        for offset_s in (-0.05, 0.05):
            message = PoseStamped(header=self.make_header(frame_id, offset_s))
            message.pose.position.x, message.pose.orientation.w = x_m, 1.0
            self.pose.publish(message)
        self.wait_for_mask(image=make_image(header), depth=make_depth(header), info=make_camera_info(header))

    def call(self, kind: type, name: str, **fields: Any) -> Any:
        return self.client.call_with_retry(kind, f"{NODE}/map/{name}", kind.Request(**fields))  # type: ignore[attr-defined]

    def find_all(self) -> Any:
        """Find any place at all."""
        return self.call(MapFind, "find", text="wall", threshold=-1.0)


@pytest.fixture(scope="module")
def mapping(
    ros_client: RosClient, checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MappingHarness]:
    log = tmp_path_factory.mktemp("mapping") / "node.log"
    settings: dict[str, Any] = dict(
        map=True, map_pose="pose", map_memory_mb=8, map_max_speed_m_s=1.0, checkpoint=checkpoint
    )
    with Process("lseg_node", log, "-r", f"__ns:={NAMESPACE}", labels=["floor", "wall"], **settings) as node:
        harness = MappingHarness(ros_client, node)
        wait_until(lambda: not node.alive or harness.pose.get_subscription_count(), 240, "the node did not start")
        wait_until(lambda: harness._image.get_subscription_count(), 20, "the node does not subscribe")
        yield harness
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


@pytest.fixture
def mapped(mapping: MappingHarness) -> MappingHarness:
    """The node with a map of the wall."""

    def is_mapped() -> bool:
        mapping.show()
        return bool(mapping.find_all().places)

    wait_until(is_mapped, 30, "no frame entered the map")
    mapping.clear()
    return mapping


def test_a_text_is_found_where_the_depth_and_the_pose_put_it(mapped: MappingHarness) -> None:
    response = mapped.find_all()
    assert response.success and response.header.frame_id == "map" and "'wall' is at x" in response.message
    best = response.places[0]
    assert best.point.z == pytest.approx(2.0, abs=0.05) and best.voxels > 0 and -1 <= best.score <= 1
    assert best.last_seen.sec > 0 and best.lower.x <= best.point.x <= best.upper.x
    scores = [place.score for place in response.places]
    assert scores == sorted(scores, reverse=True) and len(scores) <= 5


def test_invalid_requests_are_refused_with_the_reason(mapped: MappingHarness) -> None:
    for fields, reason in (
        ({"text": ""}, "text"),
        ({"text": "wall", "threshold": 2.0}, "threshold: expected -1 to 1, or 0 for query_threshold, got 2"),
    ):
        response = mapped.call(MapFind, "find", **fields)
        assert not response.success and reason in response.message
    response = mapped.call(MapFile, "save", path="/missing/map.safetensors")
    assert not response.success and "path: expected a file name ending in .safetensors" in response.message


def test_a_saved_map_can_be_loaded_after_a_reset(mapped: MappingHarness, tmp_path: Path) -> None:
    path = tmp_path / "map.safetensors"
    assert mapped.call(MapFile, "save", path=str(path)).success and path.is_file()
    assert mapped.call(Trigger, "reset").success
    assert not mapped.find_all().places
    assert "voxels loaded" in mapped.call(MapFile, "load", path=str(path)).message
    assert mapped.find_all().places
    path.write_bytes(b"damaged")
    response = mapped.call(MapFile, "load", path=str(path))
    assert not response.success and "expected a language map" in response.message
    assert mapped.find_all().places  # the map stays


def test_the_cloud_shows_the_voxels_in_the_frame_of_the_map(mapped: MappingHarness) -> None:
    clouds = mapped.client.listen(PointCloud2, f"{NODE}/map/cloud")
    (cloud,) = clouds.wait_for(1)
    assert cloud.header.frame_id == "map" and cloud.width > 100
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]


def test_markers_show_the_places_that_were_found(mapped: MappingHarness) -> None:
    messages = pytest.importorskip("visualization_msgs.msg", reason="visualization_msgs is not installed")
    markers = mapped.client.listen(messages.MarkerArray, f"{NODE}/map/markers")

    def are_shown() -> bool:
        places = mapped.find_all().places
        time.sleep(0.2)
        return bool(markers.messages) and len(markers.messages[-1].markers) == 1 + 2 * len(places)

    wait_until(are_shown, 20, "no markers")
    assert any("wall" in marker.text for marker in markers.messages[-1].markers)


def test_a_pose_that_jumps_costs_its_frame_and_is_named(mapped: MappingHarness) -> None:
    mapped.show(x_m=9.0)
    status = mapped.wait_for_status("map: a frame was not used: ")
    assert int(next(value.value for value in status.values if value.key == "without map")) > 0
    mapped.show()


def test_a_pose_in_another_frame_is_named(mapped: MappingHarness) -> None:
    mapped.show(frame_id="odom")
    mapped.wait_for_status("frame_id: expected map_frame 'map', got 'odom'")


def test_masks_do_not_need_poses(mapped: MappingHarness) -> None:
    header = mapped.make_header(offset_s=-30.0)  # no pose of that time
    mapped.wait_for_mask(image=make_image(header), depth=make_depth(header), info=make_camera_info(header))
    mapped.wait_for_status("map: a frame was not used")
