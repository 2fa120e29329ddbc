"""Tests of a node with several cameras."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from lseg_ros.msg import Vocabulary
from lseg_ros.srv import QueryLabel
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from lseg_ros.structures import Frame
from test.support.executables import Process, run_lseg_node
from test.support.node_harness import NodeHarness, make_camera_info, make_depth, make_image
from test.support.ros_client import LATCHED, RosClient, read_pixels, read_points, wait_until

NAMESPACE = "/rig"
NODE = f"{NAMESPACE}/lseg"
Rig = dict[str, NodeHarness]


@pytest.fixture(scope="module")
def rig(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """An active node with the cameras front and rear. The test controls both."""
    log = tmp_path_factory.mktemp("rig") / "node.log"
    settings = {"cameras": ["front", "rear"], "labels": ["floor", "wall", "chair"]}
    with run_lseg_node(log, "-r", f"__ns:={NAMESPACE}", **settings) as node:
        harnesses = {name: NodeHarness(ros_client, node, NAMESPACE, f"/{name}") for name in ("front", "rear")}
        for harness in harnesses.values():
            harness.activate()
        yield harnesses


@pytest.fixture(autouse=True)
def clear(request: pytest.FixtureRequest) -> None:
    """Discard the masks and diagnostics of the previous test."""
    if "rig" in request.fixturenames:
        for harness in request.getfixturevalue("rig").values():
            harness.clear()


@contextmanager
def keep_sending(harness: NodeHarness, image: Image, period_s: float) -> Iterator[None]:
    """Publish an image again and again, always with the current time."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(period_s):
            image.header = harness.make_header(image.header.frame_id)
            harness.send(image=image)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_topics_start_with_the_camera_name_and_vocabularies_are_equal(rig: Rig, ros_client: RosClient) -> None:
    def outputs() -> set[str]:
        return {name for name, _ in ros_client.node.get_topic_names_and_types() if name.startswith(f"{NODE}/")}

    topics = {"mask", "confidence", "camera_info", "overlay", "points", "points/floor", "points/chair", "vocabulary"}
    expected = {f"{NODE}/{camera}/{topic}" for camera in rig for topic in topics} | {f"{NODE}/vocabulary"}
    wait_until(lambda: expected <= outputs(), 10, "a topic is missing")
    assert not {f"{NODE}/mask", f"{NODE}/points"} & outputs()
    vocabularies = [ros_client.read_vocabulary(node) for node in (NODE, *(f"{NODE}/{camera}" for camera in rig))]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_each_camera_has_its_own_masks_and_clouds(rig: Rig, ros_client: RosClient) -> None:
    clouds = {name: ros_client.listen(PointCloud2, f"{NODE}/{name}/points") for name in rig}
    infos = {name: ros_client.listen(CameraInfo, f"{NODE}/{name}/camera_info") for name in rig}
    wait_until(lambda: all(ros_client.node.count_subscribers(f"{NODE}/{name}/points") for name in rig), 5)
    headers = {name: harness.make_header(f"{name}_optical_frame") for name, harness in rig.items()}
    meters = {"front": 2.0, "rear": 5.0}
    frames = {
        name: {
            "image": make_image(header),
            "depth": make_depth(header, meters[name]),
            "info": make_camera_info(header),
        }
        for name, header in headers.items()
    }

    def is_complete() -> bool:
        masks = {name: harness.wait_for_mask(**frames[name]).header for name, harness in rig.items()}
        return masks == headers and all(clouds[name].messages and infos[name].messages for name in rig)

    wait_until(is_complete, 20, "no cloud or camera_info")
    for name in rig:
        assert {message.header.frame_id for message in clouds[name].messages} == {f"{name}_optical_frame"}
        assert np.allclose(read_points(clouds[name].messages[-1])["z"], meters[name])
        assert infos[name].messages[-1].header == headers[name]


def test_the_viewer_shows_the_camera_that_is_selected(rig: Rig, ros_client: RosClient) -> None:
    pytest.importorskip("viser", reason="the extra view is not installed")
    from lseg_ros.ros.viewer import NodeFeed, ViewerConfig

    viewer = rclpy.create_node("viewer", namespace=NAMESPACE, context=ros_client.node.context)
    ros_client.node.executor.add_node(viewer)
    feed = NodeFeed(viewer, ViewerConfig())
    sizes = {"front": (48, 64), "rear": (64, 96)}
    images = {name: make_image(rig[name].make_header(name), "rgb8", *sizes[name]) for name in rig}

    def read() -> Frame | None:
        try:
            shown = feed.read(0, 0.5)
        except ValueError:  # nothing for a while
            return None
        return None if shown is None else shown.frame

    with keep_sending(rig["front"], images["front"], 0.1), keep_sending(rig["rear"], images["rear"], 0.1):
        frame = wait_until(read, 60, "no frame of the first camera")
        assert (feed.cameras, feed.camera) == (("front", "rear"), "front")
        assert (frame.size, frame.frame_id) == (sizes["front"], "front")
        feed.select_camera("rear")
        frame = wait_until(read, 60, "no frame of the selected camera")
        assert (frame.size, frame.frame_id) == (sizes["rear"], "rear")
        assert feed.query("floor").frame.size == sizes["rear"]
    feed.rest()
    ros_client.node.executor.remove_node(viewer)
    viewer.destroy_node()


def test_images_with_the_same_stamp_and_different_sizes_all_get_masks(rig: Rig) -> None:
    header = rig["front"].make_header()
    sizes = {"front": (48, 64), "rear": (64, 48)}
    for name, harness in rig.items():
        harness.send(image=make_image(header, "rgb8", *sizes[name]))
    for name, harness in rig.items():
        mask = harness.wait_for_mask(image=make_image(header, "rgb8", *sizes[name]))
        assert (mask.height, mask.width) == sizes[name]


@pytest.mark.parametrize(
    ("fault", "message"),
    [({"encoding": "octarine8"}, "octarine8"), ({"height": 16}, "at least 32x32 pixels")],
    ids=["fails before the batch", "fails in the batch"],
)
def test_bad_frames_do_not_affect_other_cameras(rig: Rig, fault: dict[str, Any], message: str) -> None:
    front, rear = rig["front"], rig["rear"]
    with keep_sending(front, make_image(front.make_header(), **fault), 0.02):
        status = front.wait_for_status(message)
        for _ in range(5):
            rear.wait_for_mask(image=make_image(rear.make_header()))
    assert status.level == b"\x02"
    assert all(status.level != b"\x02" for status in rear.statuses())
    assert front.wait_for_mask(image=make_image(front.make_header()))


def test_fast_camera_does_not_starve_a_slow_one(rig: Rig) -> None:
    """The fast camera gets at most two masks while the slow one waits (median)."""
    front, rear = rig["front"], rig["rear"]
    with keep_sending(front, make_image(front.make_header()), 0.005):
        wait_until(lambda: len(front.mask.messages) > 3, 20)
        counts = []
        for _ in range(9):
            before = len(front.mask.messages)
            rear.wait_for_mask(image=make_image(rear.make_header()))
            counts.append(len(front.mask.messages) - before)
    assert sorted(counts)[len(counts) // 2] <= 2, counts


def test_each_camera_has_its_own_status(rig: Rig) -> None:
    front, rear = rig["front"], rig["rear"]
    front.wait_for_mask(image=make_image(front.make_header()))
    rear.wait_for_status(f"{NAMESPACE}/rear/rgb/image")
    status = wait_until(lambda: next((status for status in front.statuses() if status.values), None), 5)
    assert "rear" not in status.message
    assert {"labels", "device", "frames processed"} <= {value.key for value in status.values}


def test_new_labels_reach_every_camera_before_its_next_mask(rig: Rig, ros_client: RosClient) -> None:
    received: dict[str, list[Any]] = {name: [] for name in rig}
    for name, messages in received.items():
        ros_client.listen(Vocabulary, f"{NODE}/{name}/vocabulary", LATCHED, messages.append)
        ros_client.listen(Image, f"{NODE}/{name}/mask", callback=messages.append)
    wait_until(lambda: all(received.values()), 10, "no latched vocabulary")
    vocabulary = ros_client.set_labels(["lamp", "rug"], node=NODE).vocabulary
    ids = {0, *(label.id for label in vocabulary.labels)}
    for harness in rig.values():
        mask = harness.wait_for_mask(image=make_image(harness.make_header()))
        assert set(np.unique(read_pixels(mask))) <= ids
    wait_until(lambda: all(isinstance(messages[-1], Image) for messages in received.values()), 10)
    for messages in received.values():
        last = max(index for index, message in enumerate(messages) if isinstance(message, Vocabulary))
        assert messages[last].epoch == vocabulary.epoch
        assert isinstance(messages[last + 1], Image)
    wait_until(lambda: all(ros_client.node.count_publishers(f"{NODE}/{name}/points/rug") == 1 for name in rig), 5)
    ros_client.set_labels(["floor", "wall", "chair"], node=NODE)


def test_query_searches_the_frame_of_the_requested_camera_or_the_newest(rig: Rig, ros_client: RosClient) -> None:
    def query(camera: str) -> Any:
        request = QueryLabel.Request(text="wall", camera=camera)
        return ros_client.call_with_retry(QueryLabel, f"{NODE}/query", request)

    headers = {name: harness.make_header(f"{name}_optical_frame") for name, harness in rig.items()}  # rear is newer
    for name in ("rear", "front"):
        rig[name].wait_for_mask(image=make_image(headers[name]))
    for requested, expected in (("front", "front"), ("rear", "rear"), ("", "rear")):
        response = query(requested)
        assert response.success
        assert (response.camera, response.header) == (expected, headers[expected])
    response = query("top")
    assert not response.success
    assert "camera: expected front, rear, or ''" in response.message


def test_node_with_invalid_camera_names_reports_them_and_does_not_start(tmp_path: Path) -> None:
    with Process("lseg_node", tmp_path / "log", cameras=["front", "front"]) as node:
        assert node.wait(60) == 1
    assert "expected unique names, got 'front' twice" in node.output
