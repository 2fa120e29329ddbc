"""A recording of a real camera through replay_camera and the node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from lseg_ros.desk import DESK_FOLDER
from test.support.executables import Process
from test.support.node_harness import NODE, NodeHarness
from test.support.ros_client import RosClient, read_pixels, read_points, read_stamp_ns, wait_until

FRAMES = 5


@pytest.mark.parametrize("own_stamps", [False, True], ids=["current stamps", "own stamps"])
def test_every_frame_gives_mask_confidence_and_clouds_of_the_same_stamp_and_size(
    harness: NodeHarness, tmp_path: Path, own_stamps: bool
) -> None:
    harness.activate()
    client = harness.client
    assert client.set_labels(["floor", "desk", "monitor"], node=NODE).success
    assert client.set_parameter("max_rate_hz", 3.0, NODE).successful
    topics = {"mask": Image, "confidence": Image, "camera_info": CameraInfo, "points": PointCloud2}
    topics |= dict.fromkeys(("points/floor", "points/desk", "points/monitor"), PointCloud2)
    assert client.transition("deactivate", NODE)  # drops images of the previous test
    listeners = {topic: client.listen(message_type, f"{NODE}/{topic}") for topic, message_type in topics.items()}
    harness.activate()
    parameters: dict[str, Any] = {"folder": DESK_FOLDER, "loop": True, "own_stamps": own_stamps}
    with Process("replay_camera", tmp_path / "camera.log", "-r", "__ns:=/harness", **parameters) as camera:
        wait_until(lambda: not camera.alive or len(common_stamps(listeners)) >= FRAMES, 60, "no complete frames")
        assert camera.alive, camera.output
    by_stamp = {topic: listener.by_stamp() for topic, listener in listeners.items()}
    for stamp in common_stamps(listeners)[:FRAMES]:
        check_frame({topic: messages[stamp] for topic, messages in by_stamp.items()})
    if own_stamps:
        recorded = {line.split()[0].replace(".", "") + "000" for line in (DESK_FOLDER / "associations.txt").open()}
        assert {str(stamp) for stamp in by_stamp["mask"]} <= recorded


def common_stamps(listeners: Mapping[str, Any]) -> list[int]:
    """Return the stamps for which every topic has a message."""
    stamps = [{read_stamp_ns(message) for message in list(listener.messages)} for listener in listeners.values()]
    return sorted(set.intersection(*stamps))


def check_frame(frame: Mapping[str, Any]) -> None:
    """Check that the messages of one frame agree with each other."""
    mask, confidence, points = (
        read_pixels(frame["mask"]),
        read_pixels(frame["confidence"]),
        read_points(frame["points"]),
    )
    assert mask.shape == confidence.shape == points.shape == (480, 640)
    valid = np.isfinite(points["z"])
    assert 0.2 < valid.mean() < 1  # a real sensor has holes
    assert np.array_equal(points["label"], mask)
    k = frame["camera_info"].k
    row, column = np.mgrid[: mask.shape[0], : mask.shape[1]]
    x, y, z = (points[axis][valid].astype(float) for axis in "xyz")
    error_px = np.hypot(k[0] * x / z + k[2] - column[valid], k[4] * y / z + k[5] - row[valid])
    assert error_px.max() < 0.75
    clouds = [message for topic, message in frame.items() if topic.startswith("points/")]
    assert sum(cloud.width for cloud in clouds) == np.count_nonzero(valid & (mask > 0))


def test_ends_after_the_last_image(tmp_path: Path) -> None:
    with Process("replay_camera", tmp_path / "camera.log", folder=DESK_FOLDER, rate=100.0) as camera:
        assert camera.wait(60) == 0
        assert "finished playing 20 images" in camera.output


def test_ctrl_c_ends_a_loop(ros_client: RosClient, tmp_path: Path) -> None:
    images = ros_client.listen(Image, "/loop/rgb/image")
    parameters: dict[str, Any] = {"folder": DESK_FOLDER, "loop": True}
    with Process("replay_camera", tmp_path / "camera.log", "-r", "__ns:=/loop", **parameters) as camera:
        wait_until(lambda: not camera.alive or len(images.messages) > 2, 60, "no images")
        camera.interrupt()
        assert camera.wait(30) == 0


def test_names_the_missing_file_if_the_folder_is_not_a_recording(tmp_path: Path) -> None:
    with Process("replay_camera", tmp_path / "camera.log", folder=tmp_path / "nothing") as camera:
        assert camera.wait(30) == 1
        assert "associations.txt" in camera.output and "Traceback" not in camera.output
