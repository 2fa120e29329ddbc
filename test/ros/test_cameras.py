"""Several cameras in one node: each as if it were the only one, and none at the cost of another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from lseg_ros.msg import Vocabulary
from lseg_ros.srv import QueryLabel
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from lseg_ros.ros.topics import check_cameras
from test.support.executables import Process
from test.support.node_harness import NodeHarness, camera_info, depth, image
from test.support.ros_client import LATCHED, RosClient, read_pixels, read_points, wait_until

NAMESPACE = "/rig"
NODE = f"{NAMESPACE}/lseg"
Rig = dict[str, NodeHarness]


@pytest.fixture(scope="module")
def rig(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """An active node with the cameras front and rear, and both in the test's hands."""
    log = tmp_path_factory.mktemp("rig") / "node.log"
    settings = {"cameras": ["front", "rear"], "labels": ["floor", "wall", "chair"]}
    with Process("lseg_node", log, "-r", f"__ns:={NAMESPACE}", **settings) as node:
        harnesses = {name: NodeHarness(ros_client, node, NAMESPACE, f"/{name}") for name in ("front", "rear")}
        wait_until(lambda: not node.alive or "looking for" in node.output, 90, "the node did not start")
        assert node.alive, node.output
        for harness in harnesses.values():
            harness.activate()
        yield harnesses
        assert node.alive, f"the node died: {node.output}"
        assert "Traceback" not in node.output


@pytest.fixture(autouse=True)
def begin(request: pytest.FixtureRequest) -> None:
    if "rig" in request.fixturenames:
        for harness in request.getfixturevalue("rig").values():
            harness.begin()


def test_every_topic_is_under_the_name_of_its_camera_and_the_words_are_the_nodes_too(rig: Rig, ros_client: RosClient):
    def outputs() -> set[str]:
        return {name for name, _ in ros_client.node.get_topic_names_and_types() if name.startswith(f"{NODE}/")}

    each = {"mask", "confidence", "camera_info", "overlay", "points", "points/floor", "points/chair", "vocabulary"}
    expected = {f"{NODE}/{camera}/{topic}" for camera in rig for topic in each} | {f"{NODE}/vocabulary"}
    wait_until(lambda: expected <= outputs(), 10, "not every topic is there")
    assert not {f"{NODE}/mask", f"{NODE}/points"} & outputs()
    told = [ros_client.read_vocabulary(node) for node in (NODE, *(f"{NODE}/{camera}" for camera in rig))]
    assert told[0] == told[1] == told[2]


def test_each_camera_has_its_own_masks_and_clouds(rig: Rig, ros_client: RosClient):
    clouds = {name: ros_client.listen(PointCloud2, f"{NODE}/{name}/points") for name in rig}
    infos = {name: ros_client.listen(CameraInfo, f"{NODE}/{name}/camera_info") for name in rig}
    wait_until(lambda: all(ros_client.node.count_subscribers(f"{NODE}/{name}/points") for name in rig), 5)
    headers = {name: harness.header(f"{name}_optical_frame") for name, harness in rig.items()}
    meters = {"front": 2.0, "rear": 5.0}
    frames = {
        name: {"image": image(header), "depth": depth(header, meters[name]), "info": camera_info(header)}
        for name, header in headers.items()
    }

    def complete() -> bool:
        masks = {name: harness.wait_for_mask(**frames[name]).header for name, harness in rig.items()}
        return masks == headers and all(clouds[name].messages and infos[name].messages for name in rig)

    wait_until(complete, 20, "no cloud or camera_info")
    for name in rig:
        assert {message.header.frame_id for message in clouds[name].messages} == {f"{name}_optical_frame"}
        assert np.allclose(read_points(clouds[name].messages[-1])["z"], meters[name])
        assert infos[name].messages[-1].header == headers[name]


def test_images_of_one_stamp_and_of_several_sizes_all_get_their_masks(rig: Rig):
    header = rig["front"].header()
    sizes = {"front": (48, 64), "rear": (64, 48)}
    for name, harness in rig.items():
        harness.send(image=image(header, "rgb8", *sizes[name]))
    for name, harness in rig.items():
        mask = harness.wait_for_mask(image=image(header, "rgb8", *sizes[name]))
        assert (mask.height, mask.width) == sizes[name]


@pytest.mark.parametrize("bad", [{"encoding": "octarine8"}, {"height": 16}], ids=["before", "in the batch"])
def test_a_bad_frame_costs_the_other_cameras_nothing(rig: Rig, bad: dict[str, object]):
    front, rear = rig["front"], rig["rear"]
    stop = threading.Event()

    def send_bad() -> None:
        while not stop.wait(0.02):
            front.send(image=image(front.header(), **bad))

    sender = threading.Thread(target=send_bad)
    sender.start()
    try:
        status = front.wait_for_status("octarine8" if "encoding" in bad else "at least 32x32 pixels")
        for _ in range(5):
            rear.wait_for_mask(image=image(rear.header()))
    finally:
        stop.set()
        sender.join()
    assert status.level == b"\x02"
    assert all(each.level != b"\x02" for each in rear.statuses())
    assert front.wait_for_mask(image=image(front.header()))


def test_a_quick_camera_starves_no_slow_one(rig: Rig):
    """Between an image of the slow camera and its mask the quick one gets few, though it sends more than go through."""
    front, rear = rig["front"], rig["rear"]
    stop = threading.Event()

    def flood() -> None:
        picture = image(front.header())
        while not stop.wait(0.005):
            picture.header = front.header()
            front.send(image=picture)

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        wait_until(lambda: len(front.mask.messages) > 3, 20)
        waits = []
        for _ in range(9):
            before = len(front.mask.messages)
            rear.wait_for_mask(image=image(rear.header()))
            waits.append(len(front.mask.messages) - before)
    finally:
        stop.set()
        flooding.join()
    assert sorted(waits)[len(waits) // 2] <= 2, waits


def test_each_camera_has_a_status_of_its_own(rig: Rig):
    front, rear = rig["front"], rig["rear"]
    front.wait_for_mask(image=image(front.header()))
    rear.wait_for_status(f"{NAMESPACE}/rear/rgb/image")
    status = wait_until(lambda: next((s for s in front.statuses() if s.values), None), 5)
    assert "rear" not in status.message
    assert {"labels", "device", "frames processed"} <= {each.key for each in status.values}


def test_a_change_of_words_reaches_every_camera_before_its_next_mask(rig: Rig, ros_client: RosClient):
    order: dict[str, list[object]] = {name: [] for name in rig}
    for name in rig:
        ros_client.listen(Vocabulary, f"{NODE}/{name}/vocabulary", LATCHED, order[name].append)
        ros_client.listen(Image, f"{NODE}/{name}/mask", callback=order[name].append)
    wait_until(lambda: all(order.values()), 10, "no vocabulary for a late joiner")
    vocabulary = ros_client.set_labels(["lamp", "rug"], node=NODE).vocabulary
    ids = {0, *(label.id for label in vocabulary.labels)}
    for harness in rig.values():
        assert set(np.unique(read_pixels(harness.wait_for_mask(image=image(harness.header()))))) <= ids
    for heard in order.values():
        wait_until(lambda heard=heard: isinstance(heard[-1], Image), 10)
        told = [index for index, each in enumerate(heard) if isinstance(each, Vocabulary)]
        assert heard[told[-1]].epoch == vocabulary.epoch
        assert isinstance(heard[told[-1] + 1], Image)
    for name in rig:
        wait_until(lambda topic=f"{NODE}/{name}/points/rug": ros_client.node.count_publishers(topic) == 1, 5)
    ros_client.set_labels(["floor", "wall", "chair"], node=NODE)


def test_a_query_looks_at_the_frame_of_the_camera_asked_or_at_the_newest(rig: Rig, ros_client: RosClient):
    def ask(camera: str) -> QueryLabel.Response:
        return ros_client.ask(QueryLabel, f"{NODE}/query", QueryLabel.Request(text="wall", camera=camera))

    headers = {
        name: harness.header(f"{name}_optical_frame") for name, harness in rig.items()
    }  # the rear one's is newer
    for name in ("rear", "front"):
        rig[name].wait_for_mask(image=image(headers[name]))
    for asked, expected in (("front", "front"), ("rear", "rear"), ("", "rear")):
        answer = ask(asked)
        assert answer.success and (answer.camera, answer.header) == (expected, headers[expected])
    refusal = ask("top")
    assert not refusal.success and "camera: expected front, rear, or ''" in refusal.message


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["front", ""], "cameras: expected names of letters, .* got ''"),
        (["2nd"], "got '2nd'"),
        (["front left"], "got 'front left'"),
        (["front/left"], "got 'front/left'"),
        (["a__b"], "got 'a__b'"),
        (["_hidden"], "got '_hidden'"),
        (["front", "rear", "front"], "expected unique names, got 'front' twice"),
        (["points"], r"that the node does not use, got 'points' \(~/points\)"),
        (["set_labels"], "got 'set_labels'"),
        (["query"], "got 'query'"),
    ],
)
def test_names_that_cannot_be_are_refused(names: list[str], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        check_cameras(names)


def test_names_that_a_robot_has_are_fine():
    check_cameras(["front", "rear_left", "cam2", "Tool0"])


def test_a_node_with_a_name_that_cannot_be_says_so_and_does_not_start(tmp_path):
    with Process("lseg_node", tmp_path / "log", cameras=["front", "front"]) as node:
        assert node.wait(60) == 1
    assert "expected unique names, got 'front' twice" in node.output
