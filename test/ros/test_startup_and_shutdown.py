"""Tests of errors at startup and of interrupts."""

from __future__ import annotations

import array
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from test.support.executables import READY, ROOT, Process
from test.support.ros_client import RosClient, wait_until

PARAMETER_FILE = "/**:\n  ros__parameters:\n    labels: {}\n"

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "empty list in a file": ({"file": PARAMETER_FILE.format("[]")}, "got an empty list"),
    "texts and numbers in a file": ({"file": PARAMETER_FILE.format("[a, 1]")}, "Sequence should be of same type"),
    "word that YAML reads as a number": ({"file": PARAMETER_FILE.format("[floor, nan]")}, "line 3: expected values of"),
    "numbers as labels": ({"file": PARAMETER_FILE.format("[1, 2]")}, "put them in quotes"),
    "not a list": ({"labels": "floor"}, "labels: expected a value like"),
    "missing checkpoint": ({"checkpoint": "nowhere.ckpt"}, "nowhere.ckpt"),
    "invalid id": ({"labels": ["floor"], "class_ids": [300]}, "id of 'floor': expected 1 to 254, got 300"),
    "out of range": ({"max_rate_hz": -1.0}, "max_rate_hz"),
}


@pytest.fixture(scope="module")
def exits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit status and output of a node with each fault.

    The nodes run in parallel, because all import PyTorch.
    """
    folder = tmp_path_factory.mktemp("starts")
    processes = {name: start(folder, number, **FAULTS[name][0]) for number, name in enumerate(FAULTS)}
    return {name: (process.wait(90), process.output) for name, process in processes.items()}


def start(folder: Path, number: int, file: str = "", **parameters: Any) -> Process:
    """Start a node with parameters, or with the text of a parameter file."""
    arguments = ["-r", f"__ns:=/start_{number}"]
    if file:
        path = folder / f"{number}.yaml"
        path.write_text(file)
        arguments += ["--params-file", str(path)]
    return Process("lseg_node", folder / f"{number}.log", *arguments, **parameters)


@pytest.mark.parametrize("fault", FAULTS)
def test_node_that_cannot_start_reports_the_reason_and_exits_with_1(
    exits: dict[str, tuple[int, str]], fault: str
) -> None:
    status, output = exits[fault]
    assert status == 1
    assert FAULTS[fault][1] in output
    assert "Traceback" not in output


def test_runs_with_the_installed_parameters_and_compressed_images_and_exits_on_two_interrupts(
    tmp_path: Path, ros_client: RosClient
) -> None:
    arguments = ["-r", "__ns:=/two", "--params-file", str(ROOT / "config" / "lseg.yaml")]
    with Process("lseg_node", tmp_path / "node.log", *arguments, image_transport="compressed") as node:
        wait_until(lambda: not node.alive or READY in node.output, 90)
        assert node.alive, node.output
        masks = ros_client.listen(Image, "/two/lseg/mask")
        images = ros_client.node.create_publisher(CompressedImage, "/two/rgb/image/compressed", 1)
        wait_until(lambda: images.get_subscription_count() and ros_client.node.count_publishers("/two/lseg/mask"), 10)
        image = CompressedImage(format="rgb8; jpeg compressed bgr8", data=make_jpeg(48, 64))

        def has_mask() -> bool:
            if not masks.messages:
                images.publish(image)
                time.sleep(0.5)
            return bool(masks.messages)

        wait_until(has_mask, 20, "no mask")
        assert (masks.messages[0].height, masks.messages[0].width) == (48, 64)
        node.interrupt()
        time.sleep(0.05)
        node.interrupt()
        assert node.wait(30) == 0
        assert "Traceback" not in node.output


def make_jpeg(height: int, width: int) -> array.array[int]:
    """Make a JPEG file of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return array.array("B", cv2.imencode(".jpg", pixels)[1].tobytes())


def test_interrupt_during_startup_ends_the_node_without_a_traceback(tmp_path: Path) -> None:
    with Process("lseg_node", tmp_path / "node.log", "-r", "__ns:=/early") as node:
        maps = Path(f"/proc/{node.pid}/maps")
        wait_until(lambda: "libtorch" in maps.read_text(), 60, "the node does not import PyTorch")
        node.interrupt()
        assert node.wait(30) == 0
        assert "Traceback" not in node.output


def shared_memory_files(pid: int) -> set[Path]:
    """Segments in /dev/shm that only this process has mapped.

    Does not count the ports, which the processes of a ROS domain share.
    """
    mapped: dict[str, set[Path]] = {}
    for path in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            words = [line.split()[-1] for line in path.read_text().splitlines() if "/dev/shm/" in line]
            mapped[path.parent.name] = {Path(word) for word in words}
    own = mapped.pop(str(pid))
    return {file for file in own - set().union(*mapped.values()) if "port" not in file.name}


@pytest.mark.parametrize("executable", ["lseg_node", "synthetic_camera"])
def test_an_orderly_exit_leaves_nothing_in_shared_memory(executable: str, tmp_path: Path) -> None:
    with Process(executable, tmp_path / "node.log") as process:
        if executable == "lseg_node":
            wait_until(lambda: READY in process.output, 240, "the node did not start")
        wait_until(lambda: shared_memory_files(process.pid), 20, "no shared memory of DDS")
        files = shared_memory_files(process.pid)
        process.interrupt()
        assert process.wait(20) == 0
    assert [file for file in files if file.exists()] == []
