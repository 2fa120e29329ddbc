"""Tests of the diagnostics of a camera and their advice."""

from __future__ import annotations

import time
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
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
from test.support.node_harness import make_camera_info, make_image
from test.support.ros_client import BEST_EFFORT, RosClient, wait_until


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

    def __init__(self, namespace: str, **parameters: Any) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self._node = rclpy.create_node("eye", context=self._context, namespace=namespace, parameter_overrides=overrides)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.camera = Camera(self._node, "", LabelManager(NodeConfig(), SegmenterConfig(), PipelineConfig()))
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


def make_raw_image(stamp_s: float) -> RawImage:
    """Make an image with a stamp that arrives now."""
    image, stamp_ns = make_image(Header()), round(stamp_s * 1e9)
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return RawImage(serialize_message(image), Image, stamp_ns, time.monotonic())


def test_camera_info_without_publisher_is_reported_with_the_topic_to_remap() -> None:
    with SubscribedCamera("/blind") as subscribed:
        assert subscribed.camera.prepare(make_raw_image(time.time())) is not None
        subscribed.wait_for_problem("rgb/camera_info: nothing publishes /blind/rgb/camera_info: remap rgb/camera_info")
        assert subscribed.report().values["without rgb/camera_info"] == "1"
        assert not subscribed.has_problem("depth")  # no output that needs it has subscribers


def test_outdated_camera_info_is_not_attributed_to_the_slop(ros_client: RosClient) -> None:
    publisher = ros_client.node.create_publisher(CameraInfo, "/stopped/rgb/camera_info", 1)
    with SubscribedCamera("/stopped") as subscribed:
        wait_until(publisher.get_subscription_count, 5)
        now_s = time.time()
        message = make_camera_info(Header())
        message.header.stamp.sec = int(now_s) - 20

        def is_reported() -> bool:
            publisher.publish(message)
            subscribed.report()
            assert subscribed.camera.prepare(make_raw_image(int(now_s))) is not None
            return subscribed.has_problem("-20.000 s from the image's stamp: check that the driver")

        wait_until(is_reported, 5)
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)


@pytest.mark.parametrize(("offset_s", "text"), [(-3600, "3600.0 s behind"), (3600, "3600.0 s ahead of")])
def test_stamps_of_another_clock_are_reported_with_the_parameter_to_set(offset_s: float, text: str) -> None:
    with SubscribedCamera("/late") as subscribed:
        assert subscribed.camera.prepare(make_raw_image(time.time() + offset_s)) is not None
        subscribed.wait_for_problem(f"stamps are {text} the system clock: set use_sim_time")


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


def test_topic_with_another_type_is_reported_with_its_type(ros_client: RosClient) -> None:
    publisher = ros_client.node.create_publisher(CompressedImage, "/typed/rgb/image", 1)
    with SubscribedCamera("/typed") as subscribed:
        subscribed.wait_for_problem(
            "/typed/rgb/image has type sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image"
        )
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)


def test_incompatible_qos_of_a_camera_is_reported(ros_client: RosClient) -> None:
    publisher = ros_client.node.create_publisher(Image, "/strict/rgb/image", BEST_EFFORT)
    override = {"qos_overrides./strict/rgb/image.subscription.reliability": "reliable"}
    with SubscribedCamera("/strict", **override) as subscribed:
        subscribed.wait_for_problem("rgb/image: a publisher does not offer the QoS")
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)
