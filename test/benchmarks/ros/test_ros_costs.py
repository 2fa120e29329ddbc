"""Tests of the ROS benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from benchmarks.ros import engines
from benchmarks.ros.latency import measure_latency
from benchmarks.ros.naive_baseline import NaiveBaseline
from benchmarks.ros.node_path import LABELS, make_segmentation
from benchmarks.ros.serialized_frame import serialize_frame, with_stamp
from benchmarks.ros.skipped import measure_skipped
from lseg_ros.assembly import assemble
from lseg_ros.cdr import cloud_to_cdr, read_stamp_ns
from lseg_ros.geometry import label_clouds, organized_cloud
from lseg_ros.messages import stamp_ns
from lseg_ros.structures import POINT_DTYPE
from test.support.ros_client import RosClient

SIZE = (48, 64)


def test_replacing_the_stamp_changes_nothing_else() -> None:
    frame = serialize_frame(*SIZE)
    new_ns = 1_700_000_000_123_456_789
    changed = with_stamp(frame.image, new_ns)
    before, after = (deserialize_message(data, Image) for data in (frame.image, changed))
    assert read_stamp_ns(changed) == stamp_ns(after.header) == new_ns
    assert (after.data, after.encoding, after.header.frame_id) == (before.data, "rgb8", before.header.frame_id)


def layout(cloud: PointCloud2) -> tuple[object, ...]:
    """Everything except the points."""
    size = (cloud.height, cloud.width)
    return cloud.header, size, cloud.fields, cloud.point_step, cloud.row_step, cloud.is_dense


def test_the_naive_baseline_builds_the_same_messages_as_the_node(ros_client: RosClient) -> None:
    serialized = serialize_frame(*SIZE)
    segmentation = make_segmentation(serialized)
    baseline = NaiveBaseline(ros_client.node, serialized, segmentation, "/naive")
    mask, confidence, points, clouds = baseline.build_messages()
    info = deserialize_message(serialized.info, CameraInfo)
    image, depth = (deserialize_message(data, Image) for data in (serialized.image, serialized.depth))
    frame = assemble(image, depth, info).frame
    organized = organized_cloud(frame, segmentation)
    ours = deserialize_message(cloud_to_cdr(image.header, organized, is_dense=False), PointCloud2)
    assert layout(points) == layout(ours)
    for name in POINT_DTYPE.names or ():
        actual, expected = (np.frombuffer(message.data, POINT_DTYPE)[name] for message in (points, ours))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    for cloud in label_clouds(organized, segmentation.label_map, segmentation.vocabulary.labels):
        message = deserialize_message(cloud_to_cdr(image.header, cloud.points, is_dense=True), PointCloud2)
        assert layout(clouds[cloud.label.id]) == layout(message)
    assert len(clouds) == LABELS and any(message.width for message in clouds.values())
    assert bytes(mask.data) == segmentation.label_map.tobytes()
    assert bytes(confidence.data) == segmentation.confidence.tobytes()


def test_measures_a_frame_without_the_network(tmp_path: Path) -> None:
    file = tmp_path / "ros.json"
    command = [sys.executable, "-m", "benchmarks.ros", "frames", "--seconds", "0.1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    frames = json.loads(file.read_text())["frames"]
    assert 0 < frames["node"]["median_ms"] < frames["naive"]["median_ms"]
    assert 0 < frames["received"] <= frames["published"]
    assert "at most 15 ms" in done.stdout and "at least 10 times" in done.stdout


@pytest.mark.slow
def test_measures_skipped_images_and_latency_with_the_real_node(tmp_path: Path) -> None:
    skipped = measure_skipped(3.0, tmp_path, 240, 320, 10.0)
    assert skipped.fast.node_hz > skipped.slow.node_hz > 0
    assert skipped.fast.bare > 0 and skipped.slow.node > 0
    latency = measure_latency(3.0, tmp_path, engine="torch")
    assert latency.rate_hz > 0 and 0 < latency.p50_ms <= latency.p95_ms
    assert latency.ready_s > 0 and latency.pipeline_ms > 0


def test_measures_the_engines_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure_rate(budget_s: float, folder: Path, checkpoint: str, engine: str) -> tuple[float, float]:
        measured.append(engine)
        return float(len(measured)), 100.0

    monkeypatch.setattr(engines, "measure_rate", measure_rate)
    result = engines.measure_engines(1.0, tmp_path)
    assert measured == 3 * ["torch", "onnxruntime"]
    assert result.rates_hz == {"torch": [1.0, 3.0, 5.0], "onnxruntime": [2.0, 4.0, 6.0]}
    assert result.cpu_ms["torch"] == 3 * [100.0]
