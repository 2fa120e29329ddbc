"""Tests of a node with a lidar and two cameras."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from lseg_ros.msg import SegmentationSummary
from lseg_ros.srv import QueryLabel
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2, PointField
from std_msgs.msg import Header

from lseg_ros.inference import SegmenterConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros.conversions import make_header
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.lidar import Lidar
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.transforms import TransformListener
from test.ros.consumers import layout
from test.support.executables import run_lseg_node
from test.support.node_harness import NodeHarness, make_camera_info, make_image
from test.support.ros_client import BEST_EFFORT, RELIABLE, RosClient, read_points, read_stamp_ns, wait_until

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

NAMESPACE = "/lidar"
NODE = f"{NAMESPACE}/lseg"
LABELS = ["floor", "wall"]
# The lidar looks like the front camera. The rear camera looks back from 0.2 m behind it.
EXTRINSICS = ["0 0 0 0 0 0 1", "0 0 -0.2 0 1 0 0"]
DEPTH_EXTRINSICS = ["0.1 0 0 0 0 0 1", "0 0 0 0 0 0 1"]  # the depth camera is 10 cm to the right of the front camera
Rig = dict[str, NodeHarness]


@pytest.fixture(scope="module")
def rig(ros_client: RosClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """An active node with two cameras and a lidar, which the test controls.

    Most tests send no depth.
    """
    settings = {"cameras": ["front", "rear"], "labels": LABELS, "points_source": "both", "sync_wait_s": 1.0}
    settings |= {"depth_transport": "compressedDepth", "register_depth": True, "depth_extrinsics": DEPTH_EXTRINSICS}
    log = tmp_path_factory.mktemp("lidar") / "node.log"
    with run_lseg_node(log, "-r", f"__ns:={NAMESPACE}", cloud_extrinsics=EXTRINSICS, **settings) as node:
        harnesses = {name: NodeHarness(ros_client, node, NAMESPACE, f"/{name}") for name in ("front", "rear")}
        for harness in harnesses.values():
            harness.activate()
        yield harnesses
        assert node.alive and "Traceback" not in node.output, node.output


@pytest.fixture
def lidar(rig: Rig, ros_client: RosClient) -> Iterator[Any]:
    """The publisher of the clouds."""
    for harness in rig.values():
        harness.clear()
    publisher = ros_client.node.create_publisher(PointCloud2, f"{NAMESPACE}/cloud", BEST_EFFORT)
    wait_until(publisher.get_subscription_count, 10, "the node does not subscribe to the cloud")
    yield publisher
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)


def make_cloud(header: Header, xyz: np.ndarray, height: int = 1) -> PointCloud2:
    """Make a cloud with an intensity, as lidar drivers publish it."""
    fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(("x", "y", "z", "i"))]
    points = np.column_stack([xyz, np.ones(len(xyz))]).astype("<f4")
    stamp = copy.deepcopy(header.stamp)
    cloud = PointCloud2(header=Header(stamp=stamp, frame_id="lidar"), height=height, fields=fields)
    cloud.width, cloud.point_step, cloud.row_step = len(xyz) // height, 16, 16 * len(xyz) // height
    cloud.data.frombytes(points.tobytes())
    return cloud


def send_and_wait(rig: Rig, lidar: Any, cloud: PointCloud2, *listeners: Any, cameras: Any = ("front", "rear")) -> None:
    """Publish a cloud and the images of its stamp until all outputs arrive."""

    def is_complete() -> bool:
        lidar.publish(cloud)
        for name in cameras:
            header = Header(stamp=cloud.header.stamp, frame_id=f"{name}_optical_frame")
            rig[name].wait_for_mask(image=make_image(header), info=make_camera_info(header))
        return all(read_stamp_ns(cloud) in listener.stamps() for listener in listeners)

    wait_until(is_complete, 30, "an output is missing")


XYZ = np.array([[0, 0, 2], [0.4, 0, 2], [np.nan, 0, 0], [0, 0, -2], [9, 0, 0.1], [0, 0.3, -3]])


def test_cameras_label_one_cloud_together(rig: Rig, ros_client: RosClient, lidar: Any) -> None:
    clouds = ros_client.listen(PointCloud2, f"{NODE}/cloud")
    sent = make_cloud(rig["front"].make_header(), XYZ, height=2)
    send_and_wait(rig, lidar, sent, clouds)
    cloud = clouds.by_stamp()[read_stamp_ns(sent)]
    assert (cloud.header, cloud.height, cloud.width, cloud.is_dense) == (sent.header, 2, 3, False)
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "label", "confidence"]
    assert list(layout.check_cloud("cloud", cloud)) == []
    points = read_points(cloud).reshape(-1)
    assert np.array_equal(np.stack([points[axis] for axis in "xyz"], 1), XYZ.astype(np.float32), equal_nan=True)
    assert (points["label"] > 0).tolist() == [True, True, False, True, False, True]
    assert ((points["confidence"] > 0) == (points["label"] > 0)).all()
    assert not (points["rgb"].view("<u4") >> 24).any()
    offered = ros_client.node.get_publishers_info_by_topic(f"{NODE}/cloud")[0].qos_profile
    assert list(layout.check_qos("cloud", offered, reliable=True)) == []
    assert clouds.stamps().count(read_stamp_ns(sent)) == 1


def test_a_query_returns_the_nearest_lidar_point_of_a_frame_without_depth(
    rig: Rig, ros_client: RosClient, lidar: Any
) -> None:
    """No output that needs points has a subscriber, so the cloud is looked up for the query."""
    sent = make_cloud(rig["front"].make_header(), XYZ)
    send_and_wait(rig, lidar, sent)
    request = QueryLabel.Request(text="floor", camera="front", no_image=True)

    def find() -> Any:
        response = ros_client.call(QueryLabel, f"{NODE}/query", request)
        return response if response.has_point else None

    response = wait_until(find, 20, "no point")
    assert read_stamp_ns(response) == read_stamp_ns(sent)
    point = [response.point.x, response.point.y, response.point.z]
    assert any(point == pytest.approx(seen) for seen in XYZ[:2])


def test_label_clouds_and_points_of_a_camera_have_its_header(rig: Rig, ros_client: RosClient, lidar: Any) -> None:
    front = {label: ros_client.listen(PointCloud2, f"{NODE}/front/points/{label}") for label in LABELS}
    rear = ros_client.listen(PointCloud2, f"{NODE}/rear/points")
    summaries = ros_client.listen(SegmentationSummary, f"{NODE}/front/summary")
    sent = make_cloud(rig["front"].make_header(), XYZ)
    send_and_wait(rig, lidar, sent, *front.values(), rear, summaries)
    stamp = read_stamp_ns(sent)
    clouds = [listener.by_stamp()[stamp] for listener in front.values()]
    assert sum(cloud.width for cloud in clouds) == 2
    for cloud in clouds:
        assert cloud.header.frame_id == "front_optical_frame"
        assert list(layout.check_cloud("points/label", cloud)) == []
        assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]
    organized = rear.by_stamp()[stamp]
    assert (organized.height, organized.width, organized.header.frame_id) == (48, 64, "rear_optical_frame")
    z = read_points(organized)["z"]
    assert sorted(z[np.isfinite(z)].tolist()) == pytest.approx([1.8, 2.8])
    summary = summaries.by_stamp()[stamp]
    assert sum(label.points for label in summary.labels) == 2


def test_cloud_that_a_camera_missed_is_published_without_it(rig: Rig, ros_client: RosClient, lidar: Any) -> None:
    clouds = ros_client.listen(PointCloud2, f"{NODE}/cloud")
    wait_until(lambda: ros_client.node.count_subscribers(f"{NODE}/cloud"), 5)
    stamps = []
    while not clouds.messages:
        sent = make_cloud(rig["front"].make_header(), XYZ)
        stamps.append(read_stamp_ns(sent))
        send_and_wait(rig, lidar, sent, cameras=["front"])
        assert len(stamps) < 20
    cloud = clouds.messages[0]
    assert read_stamp_ns(cloud) in stamps[:-1]
    assert (read_points(cloud).reshape(-1)["label"] > 0).tolist() == [True, True, False, False, False, False]


def test_compressed_depth_of_another_camera_is_registered(rig: Rig, ros_client: RosClient) -> None:
    """A wall at 2 m moves by 60 * 0.1 / 2 = 3 pixels."""
    front, node = rig["front"], ros_client.node
    front.clear()
    points = ros_client.listen(PointCloud2, f"{NODE}/front/points")
    depths = node.create_publisher(CompressedImage, f"{NAMESPACE}/front/depth/image/compressedDepth", RELIABLE)
    infos = node.create_publisher(CameraInfo, f"{NAMESPACE}/front/depth/camera_info", RELIABLE)
    wait_until(lambda: depths.get_subscription_count() and infos.get_subscription_count(), 10, "no subscription")
    header = front.make_header("front_optical_frame")
    depth_header = Header(stamp=header.stamp, frame_id="depth_optical_frame")
    depth = CompressedImage(header=depth_header, format="16UC1; compressedDepth png")
    depth.data.frombytes(bytes(12) + cv2.imencode(".png", np.full((48, 64), 2000, np.uint16))[1].tobytes())

    def is_complete() -> bool:
        infos.publish(make_camera_info(depth_header))
        depths.publish(depth)
        front.wait_for_mask(image=make_image(header), info=make_camera_info(header))
        # Without the camera_info of the depth camera, which may be discovered later, the points are empty.
        cloud = points.by_stamp().get(read_stamp_ns(depth))
        return cloud is not None and np.isfinite(read_points(cloud)["z"]).any()

    wait_until(is_complete, 20, "no points with depth")
    z = read_points(points.by_stamp()[read_stamp_ns(depth)])["z"]
    assert np.isnan(z[:, :3]).all()
    assert (z[:, 3:] == 2.0).all()
    for publisher in (depths, infos):
        ros_client.run_in_spin_thread(node.destroy_publisher, publisher)


@pytest.mark.parametrize("fault", ["no z", "truncated", "far stamp", "too many points"])
def test_bad_cloud_costs_its_own_labels_and_is_named(rig: Rig, ros_client: RosClient, lidar: Any, fault: str) -> None:
    ros_client.listen(PointCloud2, f"{NODE}/cloud")
    wait_until(lambda: ros_client.node.count_subscribers(f"{NODE}/cloud"), 5)
    front = rig["front"]
    header = front.make_header()
    bad = make_cloud(header, XYZ)
    if fault == "no z":
        bad.fields = bad.fields[:2]
    elif fault == "truncated":
        bad.data = bad.data[:-1]
    elif fault == "too many points":
        bad.width = 10_000_000
    else:
        bad.header.stamp.sec -= 30
    expected = {
        "no z": "cloud: not labeled: cloud: expected the fields x, y and z, got no z",
        "truncated": "cloud: not labeled: cloud: expected 1 rows of 6 points of 16 bytes",
        "too many points": "cloud: not labeled: cloud: expected at most 4000000 points, got 10000000",
        "far stamp": "s from the image's stamp: check the clocks, or raise cloud_slop_s",
    }[fault]

    def is_named() -> bool:
        lidar.publish(bad)
        image = Header(stamp=header.stamp, frame_id="front_optical_frame")
        front.wait_for_mask(image=make_image(image), info=make_camera_info(image))
        return any(expected in status.message for status in front.statuses())

    wait_until(is_named, 20, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cloud_extrinsics": ("1 2 3",)}, "cloud_extrinsics: expected 'x y z qx qy qz qw', got '1 2 3'"),
        ({"cloud_extrinsics": tuple(EXTRINSICS)}, "cloud_extrinsics: expected one pose per camera \\(1\\), got 2"),
        ({"points_source": "sonar"}, "points_source: expected one of depth, cloud, both, got 'sonar'"),
    ],
)
def test_invalid_settings_of_the_lidar_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NodeConfig(**settings)


def test_place_of_the_lidar_comes_from_tf_with_the_motion_between_the_stamps(ros_client: RosClient) -> None:
    """The vehicle drives 1 m forward between the cloud and the image, which is 0.05 s later."""
    config = NodeConfig(points_source="cloud", fixed_frame="odom", sync_wait_s=1.0)
    node = ros_client.node
    lidar, transforms = (
        Lidar(node, LabelManager(config, SegmenterConfig(), PipelineConfig())),
        TransformListener(node, print),
    )
    lidar.subscribe(transforms)
    clouds = node.create_publisher(PointCloud2, "/cloud", BEST_EFFORT)
    wait_until(clouds.get_subscription_count, 10)
    sent = make_cloud(Header(), np.array([[5, 0, 0]]))
    clouds.publish(sent)
    image = ("", "camera", 50_000_000, time.monotonic() + 1.0)
    try:
        if TFMessage is None:
            with pytest.raises(ValueError, match="tf2_msgs is not installed.*set cloud_extrinsics"):
                lidar.match(*image)
            pytest.skip("no tf2_msgs: it comes with ROS")
        tf = node.create_publisher(TFMessage, "/tf", RELIABLE)
        wait_until(tf.get_subscription_count, 10)
        poses = [
            ("odom", "base", 0, 0.0),
            ("odom", "base", 50, 1.0),
            ("base", "lidar", 0, 0.0),
            ("base", "lidar", 50, 0),
        ]
        poses += [("base", "lidar", 50, 0.0), ("base", "camera", 0, 0.5), ("base", "camera", 50, 0.5)]
        tf.publish(TFMessage(transforms=[make_transform(*pose) for pose in poses]))
        cloud = lidar.match(*image)
        assert cloud.to_camera[:3, 3].tolist() == pytest.approx([-1.5, 0, 0])
        assert cloud.xyz.tolist() == [[5, 0, 0]]
    finally:
        lidar.unsubscribe()
        transforms.destroy()


def make_transform(parent: str, child: str, stamp_ms: int, x: float) -> TransformStamped:
    transform = TransformStamped(header=make_header(stamp_ms * 1_000_000, parent), child_frame_id=child)
    transform.transform.translation.x = float(x)
    return transform
