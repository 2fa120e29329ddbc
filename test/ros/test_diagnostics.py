"""Tests of the diagnostics of a camera and their advice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from lseg_ros.inference import SegmenterConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.ros.camera import Camera
from lseg_ros.ros.diagnostics import Report, Statistics
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.node import SegmentationNode
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.subscriptions import RawImage
from test.support.node_harness import make_camera_info, make_depth, make_image
from test.support.ros_client import BEST_EFFORT, LATCHED, RosClient, read_stamp_ns, wait_until


def make_statistics(image_hz: float, hz: float, stage_ms: dict[str, float], superseded: int = 10) -> Statistics:
    """Make statistics in which camera and node kept these rates for four seconds."""
    statistics, now_s = Statistics(), time.monotonic()
    for index in range(int(4 * image_hz)):
        statistics.received(now_s - 4 + index / image_hz)
    for index in range(int(4 * hz)):
        statistics.processed(now_s - 4 + index / hz, 0.1, 0.1, stage_ms)
    for _ in range(superseded):
        statistics.superseded()
    return statistics


@pytest.mark.parametrize(
    ("slowest", "advice"),
    [("network", "a GPU"), ("labels", "fewer labels"), ("overlay", "~/overlay"), ("clouds", "cloud_labels")],
)
def test_low_rate_names_the_slowest_stage_and_what_to_change(slowest: str, advice: str) -> None:
    stage_ms = {"network": 20.0, "labels": 20.0, "overlay": 20.0, "clouds": 20.0, slowest: 300.0}
    text = make_statistics(30, 3, stage_ms).shortfall(10)
    assert text.startswith("3.0 Hz instead of 10 Hz (max_rate_hz)")
    assert f"the slowest stage is {slowest} (300 ms)" in text
    assert advice in text


@pytest.mark.parametrize(
    ("image_hz", "hz", "max_rate_hz", "superseded"),
    [(30, 10, 10, 0), (30, 9, 10, 10), (5, 4, 10, 10), (30, 3, 0, 10), (30, 3, 10, 0), (30, 0, 10, 10)],
    ids=["full rate", "almost full rate", "slow camera", "no max_rate_hz", "nothing superseded", "no frames"],
)
def test_other_rates_are_not_reported(image_hz: float, hz: float, max_rate_hz: float, superseded: int) -> None:
    assert not make_statistics(image_hz, hz, {"network": 50.0}, superseded).shortfall(max_rate_hz)


class SubscribedCamera:
    """A subscribed camera in the node `eye`, which has its own ROS context."""

    def __init__(
        self, namespace: str, config: NodeConfig | None = None, remap: Sequence[str] = (), **parameters: Any
    ) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        arguments = ["--ros-args", *(word for rule in remap for word in ("-r", rule))]
        self._node = rclpy.create_node(
            "eye", context=self._context, namespace=namespace, parameter_overrides=overrides, cli_args=arguments
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        labels = LabelManager(config or NodeConfig(), SegmenterConfig(), PipelineConfig())
        self.camera = Camera(self._node, "", labels)
        self.camera.open()
        self.camera.subscribe(Mailbox())

    def __enter__(self) -> SubscribedCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.unsubscribe()
        self.camera.close()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def report(self) -> Report:
        """Spin once and return the report of the camera."""
        self._executor.spin_once(timeout_sec=0.05)
        return self.camera.report({}, "idle")

    def has_problem(self, text: str) -> bool:
        """Whether the report has a problem with a text in its message."""
        return any(text in problem for _, problem in self.report().problems)

    def wait_for_problem(self, text: str) -> None:
        """Wait until the report has a problem with a text in its message."""
        wait_until(lambda: self.has_problem(text), 5, text)


def test_missing_subscribers_are_reported_but_not_as_a_problem() -> None:
    with SubscribedCamera("/alone") as subscribed:
        subscribed.camera.statistics.received(time.monotonic())
        report = subscribed.report()
    assert report.message == "0.0 Hz, no subscribers on any output"
    assert report.values["subscribed"] == "nothing"
    assert not report.problems


def test_problems_of_the_node_are_warnings_of_every_camera() -> None:
    with SubscribedCamera("/slow") as subscribed:
        subscribed.camera.unsubscribe()
        problems = subscribed.camera.report({}, "idle", ["Triton kernel is not used: out of memory"]).problems
    assert problems == [(1, "Triton kernel is not used: out of memory")]


def test_reports_the_outputs_that_are_subscribed(ros_client: RosClient) -> None:
    with SubscribedCamera("/seen") as subscribed:
        ros_client.listen(Image, "/seen/eye/overlay")
        wait_until(lambda: subscribed.report().values["subscribed"] == "/seen/eye/overlay", 5)
        assert subscribed.report().message == "0.0 Hz"


def test_unsubscribed_camera_reports_the_state_of_the_node() -> None:
    with SubscribedCamera("/asleep") as subscribed:
        subscribed.camera.unsubscribe()
        assert subscribed.report().message == "idle"
        assert not subscribed.report().problems


def make_raw_image(stamp_s: float, frame_id: str = "") -> RawImage:
    """Make an image with a stamp that arrives now."""
    image = make_image(make_header(stamp_s, frame_id))
    return RawImage(serialize_message(image), Image, read_stamp_ns(image), time.monotonic())


def make_header(stamp_s: float, frame_id: str = "") -> Header:
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(round(stamp_s * 1e9), 1_000_000_000)
    return header


@pytest.fixture
def publish(ros_client: RosClient) -> Iterator[Callable[..., Any]]:
    """Create a publisher that exists until the end of the test."""
    publishers = []

    def create(message_type: type, topic: str, qos: Any = 1) -> Any:
        publishers.append(ros_client.node.create_publisher(message_type, topic, qos))
        return publishers[-1]

    yield create
    for publisher in publishers:
        ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)


def test_camera_info_without_publisher_is_reported_with_the_topic_to_remap() -> None:
    with SubscribedCamera("/blind") as subscribed:
        assert subscribed.camera.prepare(make_raw_image(time.time())) is not None
        subscribed.wait_for_problem("rgb/camera_info: nothing publishes /blind/rgb/camera_info: remap rgb/camera_info")
        assert subscribed.report().values["without rgb/camera_info"] == "1"
        assert not subscribed.has_problem("depth")  # no output that needs it has subscribers


@pytest.mark.parametrize("stamp_s", [0.0, 20.0], ids=["without a stamp", "of long ago"])
def test_camera_info_that_arrives_once_belongs_to_all_images(publish: Callable[..., Any], stamp_s: float) -> None:
    publisher = publish(CameraInfo, "/once/rgb/camera_info")
    with SubscribedCamera("/once") as subscribed:
        wait_until(publisher.get_subscription_count, 5)
        message = make_camera_info(make_header(stamp_s, "lens"))

        def is_known() -> bool:
            publisher.publish(message)
            pending = subscribed.camera.prepare(make_raw_image(time.time(), "lens"))
            return pending is not None and pending.camera_info is not None

        wait_until(is_known, 5)
        for _ in range(3):
            pending = subscribed.camera.prepare(make_raw_image(time.time(), "lens"))
            assert pending is not None
            assert pending.frame.intrinsics is not None


def test_camera_info_of_another_frame_id_is_reported_with_both(publish: Callable[..., Any]) -> None:
    publisher = publish(CameraInfo, "/other/rgb/camera_info")
    with SubscribedCamera("/other") as subscribed:
        wait_until(publisher.get_subscription_count, 5)

        def is_reported() -> bool:
            publisher.publish(make_camera_info(make_header(time.time(), "left\n[FATAL]")))
            subscribed.camera.prepare(make_raw_image(time.time(), "right"))
            return subscribed.has_problem(r"frame_id 'left\n[FATAL]' arrived, expected the image's frame_id 'right'")

        wait_until(is_reported, 5)


def test_camera_info_that_was_latched_before_the_node_subscribed_is_found(publish: Callable[..., Any]) -> None:
    publisher = publish(CameraInfo, "/latched/rgb/camera_info", LATCHED)
    publisher.publish(make_camera_info(make_header(time.time())))
    with SubscribedCamera("/latched") as subscribed:

        def is_known() -> bool:
            pending = subscribed.camera.prepare(make_raw_image(time.time()))
            return pending is not None and pending.camera_info is not None

        wait_until(is_known, 5)


class TestLateDepth:
    @pytest.fixture
    def subscribed(self, ros_client: RosClient) -> Iterator[SubscribedCamera]:
        """A camera whose points are needed."""
        with SubscribedCamera("/slow") as subscribed:
            ros_client.listen(PointCloud2, "/slow/eye/points")
            wait_until(lambda: subscribed.report().values["subscribed"] == "/slow/eye/points", 5)
            yield subscribed

    def test_depth_that_arrives_too_late_is_reported_with_its_delay(
        self, subscribed: SubscribedCamera, publish: Callable[..., Any]
    ) -> None:
        publisher = publish(Image, "/slow/depth/image")
        wait_until(publisher.get_subscription_count, 5)

        def is_reported() -> bool:
            stamp_s = time.time()
            subscribed.camera.prepare(make_raw_image(stamp_s))
            publisher.publish(make_depth(make_header(stamp_s)))
            return subscribed.has_problem("s after it: raise sync_wait_s (0.05 s)")

        wait_until(is_reported, 10)

    def test_depth_of_another_moment_is_reported_with_its_offset(
        self, subscribed: SubscribedCamera, publish: Callable[..., Any]
    ) -> None:
        publisher = publish(Image, "/slow/depth/image")
        wait_until(publisher.get_subscription_count, 5)

        def is_reported(offset_s: float, text: str) -> bool:
            stamp_s = float(int(time.time()))
            publisher.publish(make_depth(make_header(stamp_s + offset_s)))
            subscribed.camera.prepare(make_raw_image(stamp_s))
            return any(f"{offset_s:+.3f} s from the image's stamp" in problem and text in problem
                       for _, problem in subscribed.report().problems)  # fmt: skip

        wait_until(lambda: is_reported(-0.25, "raise sync_slop_s"), 10)
        wait_until(lambda: is_reported(-20.0, "check that the driver is still streaming"), 10)


@pytest.mark.parametrize(("offset_s", "text"), [(-3600, "3600.0 s behind"), (3600, "3600.0 s ahead of")])
def test_stamps_of_another_clock_are_reported_with_the_parameter_to_set(offset_s: float, text: str) -> None:
    with SubscribedCamera("/late") as subscribed:
        assert subscribed.camera.prepare(make_raw_image(time.time() + offset_s)) is not None
        subscribed.wait_for_problem(f"rgb/image: stamps are {text} the system clock: set use_sim_time")


def test_publishes_diagnostics_without_a_simulated_clock(ros_client: RosClient) -> None:
    listener = ros_client.listen(DiagnosticArray, "/diagnostics")
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    parameters = [Parameter("use_sim_time", value=True)]
    node = SegmentationNode(context=context, namespace="/timeless", parameter_overrides=parameters)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def is_published() -> bool:
        executor.spin_once(timeout_sec=0.05)
        names = [status.name for message in list(listener.messages) for status in message.status]
        return "timeless/lseg: segmentation" in names

    try:
        wait_until(is_published, 10)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("topic", "message_type", "text"),
    [
        ("rgb/image", CompressedImage, "sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image"),
        ("depth/image", CompressedImage, "sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image"),
        ("rgb/camera_info", Image, "sensor_msgs/msg/Image, expected sensor_msgs/msg/CameraInfo"),
    ],
)
def test_topic_with_another_type_is_reported_with_its_type(
    ros_client: RosClient, publish: Callable[..., Any], topic: str, message_type: type, text: str
) -> None:
    publish(message_type, f"/typed/{topic}")
    with SubscribedCamera("/typed") as subscribed:
        ros_client.listen(PointCloud2, "/typed/eye/points")

        def is_reported() -> bool:
            subscribed.camera.prepare(make_raw_image(time.time()))
            return subscribed.has_problem(f"/typed/{topic} has type {text}")

        wait_until(is_reported, 5)


@pytest.mark.parametrize(
    ("remap", "expected"),
    [
        ([], "/moved/rgb/image/compressed"),
        (["rgb/image:=/camera/image_raw"], "/camera/image_raw/compressed"),
        (["rgb/image:=/camera/image_raw", "rgb/image/compressed:=/wifi/jpeg"], "/wifi/jpeg"),
    ],
    ids=["no remapping", "base topic", "both"],
)
def test_compressed_images_follow_the_remapping_of_the_image(
    ros_client: RosClient, remap: list[str], expected: str
) -> None:
    with SubscribedCamera("/moved", NodeConfig(image_transport="compressed"), remap):
        wait_until(lambda: ros_client.node.count_subscribers(expected), 5)


def test_compressed_masks_follow_the_remapping_of_the_mask(ros_client: RosClient) -> None:
    with SubscribedCamera("/moved", remap=["~/mask:=/costmap/mask"]):
        wait_until(lambda: ros_client.node.count_publishers("/costmap/mask/compressed"), 5)


def test_incompatible_qos_of_a_camera_is_reported(publish: Callable[..., Any]) -> None:
    publish(Image, "/strict/rgb/image", BEST_EFFORT)
    override: dict[str, Any] = {"qos_overrides./strict/rgb/image.subscription.reliability": "reliable"}
    with SubscribedCamera("/strict", **override) as subscribed:
        subscribed.wait_for_problem("rgb/image: a publisher does not offer the QoS")
