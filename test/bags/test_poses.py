"""Poses of a camera in bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lseg_ros.bags import BagPoses
from lseg_ros.transforms import pose_matrix
from test.support.bags import (
    FRAME_ID,
    MS,
    PERIOD_NS,
    START_NS,
    Recorded,
    header,
    make_recording,
    new,
    record,
    write_bag,
)

POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
FRAMES = 30  # longer than the second by which poses may follow their image


def pose(x: float) -> Any:
    """Make a geometry_msgs/Pose."""
    return new(
        "geometry_msgs/msg/Pose",
        position=new("geometry_msgs/msg/Point", x=x, y=0.0, z=0.0),
        orientation=new("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )


def odometry(stamp_ns: int, x: float, frame_id: str = "map") -> Any:
    """Make a nav_msgs/Odometry."""
    zero = new("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    twist = new("geometry_msgs/msg/Twist", linear=zero, angular=zero)
    return new(
        "nav_msgs/msg/Odometry",
        header=header(stamp_ns, frame_id),
        child_frame_id="base_link",
        pose=new("geometry_msgs/msg/PoseWithCovariance", pose=pose(x), covariance=np.zeros(36)),
        twist=new("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )


def stamps() -> list[int]:
    return [START_NS + number * PERIOD_NS for number in range(FRAMES)]


@pytest.mark.parametrize("kind", ["mcap", "bag"])
def test_poses_from_tf_are_those_of_the_optical_frame(tmp_path: Path, kind: str) -> None:
    poses = BagPoses(write_bag(tmp_path / "bag", make_recording(FRAMES), kind), "map")
    for stamp_ns in stamps()[1:]:
        # The recording moves the robot by its stamp within the second, and so does the static mount of the camera at 0.
        found = poses.pose(FRAME_ID, stamp_ns - 25 * MS, stamp_ns)
        between = {(stamp_ns - offset * MS) % 10**9 / 1e9 for offset in (50, 0)}
        assert found[0, 3] == pytest.approx(np.mean(list(between)), abs=1e-6)
        assert np.allclose(found[:3, :3], np.eye(3))


@pytest.mark.parametrize("kind", ["odometry", "pose"])
def test_poses_from_a_topic_are_moved_to_the_camera(tmp_path: Path, kind: str) -> None:
    messages = [*make_recording(FRAMES), *topic_messages(kind)]
    mount = pose_matrix([0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0])
    poses = BagPoses(write_bag(tmp_path / "bag", messages), "map", "/odom", mount)
    for number, stamp_ns in enumerate(stamps()[:-1]):
        assert np.allclose(poses.pose(FRAME_ID, stamp_ns, stamp_ns + 12 * MS)[:3, 3], [number / 10, 0, 0.5])


def topic_messages(kind: str) -> list[Recorded]:
    if kind == "odometry":
        return [record("/odom", stamp_ns, odometry(stamp_ns, number / 10)) for number, stamp_ns in enumerate(stamps())]
    return [
        record("/odom", stamp_ns, new(POSE_STAMPED, header=header(stamp_ns, "map"), pose=pose(number / 10)))
        for number, stamp_ns in enumerate(stamps())
    ]


def test_a_pose_in_another_frame_is_not_used(tmp_path: Path) -> None:
    messages = [*make_recording(2), record("/odom", START_NS, odometry(START_NS, 0.0, "odom"))]
    poses = BagPoses(write_bag(tmp_path / "bag", messages), "map", "/odom")
    with pytest.raises(ValueError, match="tf: "):
        poses.pose(FRAME_ID, START_NS, START_NS)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("tf", "expected the topic of tf2_msgs/msg/TFMessage for the poses"), ("/odom", "expected the /odom of geometry")],
)
def test_a_bag_without_poses_is_named_with_its_topics(tmp_path: Path, source: str, expected: str) -> None:
    messages = [message for message in make_recording(2) if not message.topic.startswith("/tf")]
    path = write_bag(tmp_path / "bag", messages)
    with pytest.raises(ValueError, match=rf"bag.*: {expected}.*got /camera/.* \(sensor_msgs/msg/CameraInfo\)"):
        BagPoses(path, "map", source)
