"""What diagnostics say of a camera, and what they advise."""

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


def statistics(image_hz: float, hz: float, stage_ms: dict[str, float], superseded: int = 10) -> Statistics:
    """As of a camera and a node that kept these rates for the last four seconds."""
    made, now_s = Statistics(), time.monotonic()
    for index in range(int(4 * image_hz)):
        made.received(now_s - 4 + index / image_hz)
    for index in range(int(4 * hz)):
        made.processed(now_s - 4 + index / hz, 0.1, 0.1, stage_ms)
    for _ in range(superseded):
        made.superseded()
    return made


@pytest.mark.parametrize(
    ("slowest", "advice"),
    [("network", "a GPU"), ("labels", "fewer labels"), ("overlay", "~/overlay"), ("clouds", "cloud_labels")],
)
def test_a_rate_below_what_was_asked_names_the_slowest_stage_and_what_to_change(slowest: str, advice: str):
    stage_ms = {"network": 20.0, "labels": 20.0, "overlay": 20.0, "clouds": 20.0, slowest: 300.0}
    text = statistics(30, 3, stage_ms).shortfall(10)
    assert text.startswith("3.0 Hz instead of 10 Hz (max_rate_hz)")
    assert f"the slowest stage is {slowest} (300 ms)" in text
    assert advice in text


@pytest.mark.parametrize(
    ("image_hz", "hz", "asked_hz", "superseded"),
    [(30, 10, 10, 0), (30, 9, 10, 10), (5, 4, 10, 10), (30, 3, 0, 10), (30, 3, 10, 0), (30, 0, 10, 10)],
    ids=["as asked", "nearly", "the camera sends fewer", "nothing was asked", "not the node's fault", "none at all"],
)
def test_other_rates_are_no_problem_of_this_kind(image_hz: float, hz: float, asked_hz: float, superseded: int):
    assert not statistics(image_hz, hz, {"network": 50.0}, superseded).shortfall(asked_hz)


class Desk:
    """A node `eye` of its own process, as far as DDS can tell, with one camera that is opened and subscribed."""

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

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.unsubscribe()
        self.camera.close()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def report(self) -> Report:
        self._executor.spin_once(timeout_sec=0.05)
        return self.camera.report({}, "idle")

    def wait_for_status(self, text: str) -> None:
        wait_until(lambda: any(text in each for _, each in self.report().problems), 5, text)


def test_nobody_who_subscribes_is_said_and_is_no_problem():
    with Desk("/alone") as desk:
        desk.camera.statistics.received(time.monotonic())
        report = desk.report()
    assert report.message == "0.0 Hz, no subscribers on any output"
    assert report.values["subscribed"] == "nothing"
    assert not report.problems


def test_what_is_subscribed_to_is_told(ros_client: RosClient):
    with Desk("/seen") as desk:
        ros_client.listen(Image, "/seen/eye/overlay")
        wait_until(lambda: desk.report().values["subscribed"] == "/seen/eye/overlay", 5)
        assert desk.report().message == "0.0 Hz"


def test_a_camera_that_is_not_subscribed_says_what_it_is_told_to():
    with Desk("/asleep") as desk:
        desk.camera.unsubscribe()
        assert desk.report().message == "idle"
        assert not desk.report().problems


def raw(stamp_s: float) -> RawImage:
    picture = make_image(Header())
    picture.header.stamp.sec, nanosec = divmod(round(stamp_s * 1e9), 1_000_000_000)
    picture.header.stamp.nanosec = nanosec
    return RawImage(serialize_message(picture), Image, round(stamp_s * 1e9), time.monotonic())


def test_camera_info_that_nobody_publishes_is_named_with_the_topic_to_remap():
    with Desk("/blind") as desk:
        assert desk.camera.prepare(raw(time.time())) is not None
        desk.wait_for_status("rgb/camera_info: nothing publishes /blind/rgb/camera_info: remap rgb/camera_info")
        assert desk.report().values["without rgb/camera_info"] == "1"
        assert not any("depth" in text for _, text in desk.report().problems)  # nobody wants points


def test_camera_info_that_came_long_ago_is_no_matter_of_the_slop(ros_client: RosClient):
    publisher = ros_client.node.create_publisher(CameraInfo, "/stopped/rgb/camera_info", 1)
    with Desk("/stopped") as desk:
        wait_until(publisher.get_subscription_count, 5)
        now_s = time.time()
        message = make_camera_info(Header())
        message.header.stamp.sec = int(now_s) - 20

        def asked_again() -> bool:
            publisher.publish(message)
            desk.report()
            assert desk.camera.prepare(raw(int(now_s))) is not None
            return any(
                "-20.000 s from the image's stamp: check that the driver" in text for _, text in desk.report().problems
            )

        wait_until(asked_again, 5)
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)


@pytest.mark.parametrize(("off_s", "said"), [(-3600, "3600.0 s behind"), (3600, "3600.0 s ahead of")])
def test_stamps_of_another_clock_are_named_with_what_to_set(off_s: float, said: str):
    with Desk("/late") as desk:
        assert desk.camera.prepare(raw(time.time() + off_s)) is not None
        desk.wait_for_status(f"stamps are {said} the system clock: set use_sim_time")


def test_diagnostics_come_also_where_the_simulated_clock_does_not(ros_client: RosClient):
    listener = ros_client.listen(DiagnosticArray, "/diagnostics")
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    simulated = [Parameter("use_sim_time", value=True)]
    node = SegmentationNode(context=context, namespace="/timeless", parameter_overrides=simulated)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def told() -> bool:
        executor.spin_once(timeout_sec=0.05)
        names = [status.name for message in list(listener.messages) for status in message.status]
        return "timeless/lseg: segmentation" in names

    try:
        wait_until(told, 10)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_a_topic_of_another_type_is_named_with_its_type(ros_client: RosClient):
    publisher = ros_client.node.create_publisher(CompressedImage, "/typed/rgb/image", 1)
    with Desk("/typed") as desk:
        desk.wait_for_status(
            "/typed/rgb/image has type sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image"
        )
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)


def test_an_overridden_qos_that_a_camera_does_not_offer_is_named(ros_client: RosClient):
    publisher = ros_client.node.create_publisher(Image, "/strict/rgb/image", BEST_EFFORT)
    with Desk("/strict", **{"qos_overrides./strict/rgb/image.subscription.reliability": "reliable"}) as desk:
        desk.wait_for_status("rgb/image: a publisher does not offer the QoS")
    ros_client.run_in_spin_thread(ros_client.node.destroy_publisher, publisher)
