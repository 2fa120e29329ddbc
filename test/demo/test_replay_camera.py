"""A recording of a real camera through replay_camera and the node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from test.support.executables import Process
from test.support.node_harness import NODE, NodeHarness
from test.support.ros_client import pixels_of, points_of, read_stamp_ns, wait_until

FRAMES = 5


@pytest.mark.shared_data
@pytest.mark.parametrize("own_stamps", [False, True], ids=["stamps of now", "own stamps"])
def test_every_frame_gives_mask_confidence_and_clouds_of_one_stamp_and_size(
    bench: NodeHarness, shared_data: Path, tmp_path: Path, own_stamps: bool
):
    bench.activate()
    consumer, folder = bench.consumer, shared_data / "tum_fr1_rpy"
    assert consumer.set_labels(["floor", "desk", "monitor"], node=NODE).success
    assert consumer.set_parameter("max_rate_hz", 3.0, NODE).successful
    topics = {"mask": Image, "confidence": Image, "camera_info": CameraInfo, "points": PointCloud2}
    topics |= dict.fromkeys(("points/floor", "points/desk", "points/monitor"), PointCloud2)
    assert consumer.transition("deactivate", NODE)  # so that no image of the test before is left in it
    heard = {topic: consumer.listen(kind, f"{NODE}/{topic}") for topic, kind in topics.items()}
    bench.activate()
    parameters = {"folder": folder, "loop": True, "own_stamps": own_stamps, "rate": 0.5}
    with Process("replay_camera", tmp_path / "camera.log", "-r", "__ns:=/bench", **parameters) as camera:
        wait_until(lambda: not camera.alive or len(common(heard)) >= FRAMES, 60, "no frames with everything")
        assert camera.alive, camera.output
    by_stamp = {topic: listener.by_stamp() for topic, listener in heard.items()}
    for stamp in common(heard)[:FRAMES]:
        check({topic: each[stamp] for topic, each in by_stamp.items()})
    if own_stamps:
        recorded = {line.split()[0].replace(".", "") + "000" for line in (folder / "associations.txt").open()}
        assert {str(stamp) for stamp in by_stamp["mask"]} <= recorded


def common(heard: dict) -> list[int]:
    """Stamps of which everything has come."""
    return sorted(set.intersection(*({read_stamp_ns(each) for each in list(some.messages)} for some in heard.values())))


def check(frame: dict) -> None:
    mask, confidence, points = pixels_of(frame["mask"]), pixels_of(frame["confidence"]), points_of(frame["points"])
    assert mask.shape == confidence.shape == points.shape == (480, 640)
    known = np.isfinite(points["z"])
    assert 0.2 < known.mean() < 1  # a real sensor has holes
    assert np.array_equal(points["label"], mask)
    k = frame["camera_info"].k
    row, column = np.indices(mask.shape)
    x, y, z = (points[axis][known].astype(float) for axis in "xyz")
    off_px = np.hypot(k[0] * x / z + k[2] - column[known], k[4] * y / z + k[5] - row[known])
    assert off_px.max() < 0.75
    clouds = [frame[topic] for topic in frame if topic.startswith("points/")]
    assert sum(cloud.width for cloud in clouds) == np.count_nonzero(known & (mask > 0))


def test_a_folder_that_is_no_recording_is_named(tmp_path: Path):
    with Process("replay_camera", tmp_path / "camera.log", folder=tmp_path / "nothing") as camera:
        assert camera.wait(30) == 1
        assert "associations.txt" in camera.output and "Traceback" not in camera.output
