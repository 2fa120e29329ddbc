"""A node that cannot start says why in a sentence and ends with 1; Ctrl-C, once or twice, ends it with 0."""

from __future__ import annotations

import array
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from test.support.executables import Process
from test.support.ros_client import RosClient, wait_until

PARAMETER_FILE = "/**:\n  ros__parameters:\n    labels: {}\n"

FAULTS = {
    "empty list in a file": ({"file": PARAMETER_FILE.format("[]")}, "got an empty list"),
    "texts and numbers in a file": ({"file": PARAMETER_FILE.format("[a, 1]")}, "Sequence should be of same type"),
    "no list": ({"labels": "floor"}, "labels: expected a value like"),
    "no such checkpoint": ({"checkpoint": "nowhere.ckpt"}, "nowhere.ckpt"),
    "an id that cannot be": ({"labels": ["floor"], "class_ids": [300]}, "id of 'floor': expected 1 to 254, got 300"),
    "out of range": ({"max_rate_hz": -1.0}, "max_rate_hz"),
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Status and output of a node with each of the faults; they run side by side, for they all import PyTorch."""
    folder = tmp_path_factory.mktemp("starts")
    running = {name: _start(folder, number, **fault) for number, (name, (fault, _)) in enumerate(FAULTS.items())}
    return {name: (process.wait(90), process.output) for name, process in running.items()}


def _start(folder: Path, number: int, file: str = "", **parameters: object) -> Process:
    arguments = ["-r", f"__ns:=/start_{number}"]
    if file:
        path = folder / f"{number}.yaml"
        path.write_text(file)
        arguments += ["--params-file", str(path)]
    return Process("lseg_node", folder / f"{number}.log", *arguments, **parameters)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_that_cannot_start_says_why_and_ends_with_1(ends, fault):
    status, output = ends[fault]
    assert status == 1
    assert FAULTS[fault][1] in output
    assert "Traceback" not in output


def test_the_parameter_file_of_the_package_compressed_images_and_two_interrupts(tmp_path, ros_client: RosClient):
    config = Path(__file__).resolve().parents[2] / "config" / "lseg.yaml"
    arguments = ["-r", "__ns:=/two", "--params-file", str(config)]
    with Process("lseg_node", tmp_path / "node.log", *arguments, image_transport="compressed") as node:
        wait_until(lambda: not node.alive or "looking for" in node.output, 90)
        assert node.alive, node.output
        masks = ros_client.listen(Image, "/two/lseg/mask")
        images = ros_client.node.create_publisher(CompressedImage, "/two/rgb/image/compressed", 1)
        wait_until(lambda: images.get_subscription_count() and ros_client.node.count_publishers("/two/lseg/mask"), 10)
        image = CompressedImage(format="rgb8; jpeg compressed bgr8", data=jpeg(48, 64))
        wait_until(lambda: masks.messages or images.publish(image) or time.sleep(0.5), 20, "no mask")
        assert (masks.messages[0].height, masks.messages[0].width) == (48, 64)
        node.interrupt()
        time.sleep(0.05)
        node.interrupt()
        assert node.wait(30) == 0
        assert "Traceback" not in node.output


def jpeg(height: int, width: int) -> array.array[int]:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return array.array("B", cv2.imencode(".jpg", picture)[1].tobytes())


def test_an_interrupt_while_it_loads_ends_it_without_a_traceback(tmp_path):
    with Process("lseg_node", tmp_path / "node.log", "-r", "__ns:=/early") as node:
        time.sleep(1.5)  # in the middle of importing PyTorch
        node.interrupt()
        assert node.wait(30) == 0
        assert "Traceback" not in node.output
