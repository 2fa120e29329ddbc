"""What the benchmark of ROS measures is what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from benchmarks.ros.latency import measure_latency
from benchmarks.ros.naive_baseline import NaiveBaseline
from benchmarks.ros.ready import LABELS, ready_segmentation
from benchmarks.ros.recording import record, stamped
from benchmarks.ros.skipped import measure_skipped
from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.geometry import label_clouds, organized_cloud
from lseg_ros.messages import stamp_ns
from lseg_ros.ros.conversions import assemble
from lseg_ros.ros.subscriptions import read_stamp_ns
from lseg_ros.structures import POINT_DTYPE
from test.support.ros_client import RosClient

SIZE = (48, 64)


def test_a_stamped_message_is_the_same_but_for_its_stamp() -> None:
    recorded = record(*SIZE)
    moment_ns = 1_700_000_000_123_456_789
    data = stamped(recorded.image, moment_ns)
    before, after = (deserialize_message(each, Image) for each in (recorded.image, data))
    assert read_stamp_ns(data) == stamp_ns(after.header) == moment_ns
    assert (after.data, after.encoding, after.header.frame_id) == (before.data, "rgb8", before.header.frame_id)


def layout(cloud: PointCloud2) -> tuple[object, ...]:
    """Everything but the points."""
    each = cloud
    return each.header, each.height, each.width, each.fields, each.point_step, each.row_step, each.is_dense


def test_the_obvious_way_makes_the_same_messages_as_ours(ros_client: RosClient) -> None:
    recorded = record(*SIZE)
    segmentation = ready_segmentation(recorded)
    mask, confidence, points, clouds = NaiveBaseline(ros_client.node, recorded, segmentation, "/obvious").messages()
    info = deserialize_message(recorded.info, CameraInfo)
    image, depth = (deserialize_message(each, Image) for each in (recorded.image, recorded.depth))
    frame = assemble(image, depth, info).frame
    organized = organized_cloud(frame, segmentation)
    ours = deserialize_message(cloud_to_cdr(image.header, organized, is_dense=False), PointCloud2)
    assert layout(points) == layout(ours)
    for name in POINT_DTYPE.names or ():
        theirs, mine = (np.frombuffer(each.data, POINT_DTYPE)[name] for each in (points, ours))
        np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-6)
    for cloud in label_clouds(organized, segmentation.label_map, segmentation.vocabulary.labels):
        message = deserialize_message(cloud_to_cdr(image.header, cloud.points, is_dense=True), PointCloud2)
        assert layout(clouds[cloud.label.id]) == layout(message)
    assert len(clouds) == LABELS and any(each.width for each in clouds.values())
    assert bytes(mask.data) == segmentation.label_map.tobytes()
    assert bytes(confidence.data) == segmentation.confidence.tobytes()


def test_all_but_the_network_is_measured_and_told(tmp_path: Path) -> None:
    file = tmp_path / "ros.json"
    command = [sys.executable, "-m", "benchmarks.ros", "frames", "--seconds", "0.1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    told = json.loads(file.read_text())
    assert 0 < told["frames"]["node"]["median_ms"] < told["frames"]["naive"]["median_ms"]
    assert 0 < told["frames"]["heard"] <= told["frames"]["published"]
    assert "at most 15 ms" in done.stdout and "at least 10 times" in done.stdout


@pytest.mark.slow
def test_skipped_images_and_latency_are_measured_with_the_real_node(tmp_path: Path) -> None:
    skipped = measure_skipped(3.0, tmp_path, 240, 320, 10.0)
    assert skipped.fast.node_hz > skipped.slow.node_hz > 0
    assert skipped.fast.bare > 0 and skipped.slow.node > 0
    latency = measure_latency(3.0, tmp_path)
    assert latency.rate_hz > 0 and 0 < latency.p50_ms <= latency.p95_ms
    assert latency.ready_s > 0 and latency.pipeline_ms > 0
