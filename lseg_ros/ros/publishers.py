"""What goes out for a frame: every message with the header of the image it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.messages import fill_png
from lseg_ros.msg import SegmentationSummary
from lseg_ros.pipeline import FrameResult, Outputs
from lseg_ros.ros.conversions import publish_image, summary_to_message
from lseg_ros.ros.label_topics import LabelTopics
from lseg_ros.ros.qos import FRAME_QOS
from lseg_ros.ros.topics import CAMERA_INFO, CONFIDENCE, MASK, MASK_COMPRESSED, OVERLAY, POINTS, SUMMARY, Topic
from lseg_ros.vocabulary import Label

try:
    from rclpy.event_handler import PublisherEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, UnsupportedEventTypeError

__all__ = ["Publishers"]


class Publishers:
    """The topics of a camera's frames. Methods exclude each other by a lock that the caller holds, but for ``wanted``.

    camera: its name, "" where it is the only one. on_mismatch: called with a sentence about a subscriber's QoS.
    """

    def __init__(self, node: Node, camera: str, on_mismatch: Callable[[str], None]) -> None:
        self._node = node
        self._camera = camera
        self._on_mismatch = on_mismatch
        self._created: list[Publisher] = []
        self._mask = self._create(MASK, Image)
        self._mask_compressed = self._create(MASK_COMPRESSED, CompressedImage)
        self._confidence = self._create(CONFIDENCE, Image)
        self._camera_info = self._create(CAMERA_INFO, CameraInfo)
        self._overlay = self._create(OVERLAY, Image)
        self._points = self._create(POINTS, PointCloud2)
        self._summary = self._create(SUMMARY, SegmentationSummary)
        self._clouds = LabelTopics(node, f"{POINTS.of(camera).name}/")

    def wanted(self) -> Outputs:
        """What someone subscribes to now, beside mask and confidence."""
        want = Outputs.NONE
        if self._overlay.get_subscription_count():
            want |= Outputs.OVERLAY
        if self._points.get_subscription_count():
            want |= Outputs.POINTS
        if self._clouds.subscribed():
            want |= Outputs.LABEL_CLOUDS
        if self._summary.get_subscription_count():
            want |= Outputs.SUMMARY
        return want

    def subscribed(self) -> list[str]:
        """Names of the topics that someone subscribes to."""
        return [each.topic_name for each in self._created if each.get_subscription_count()] + self._clouds.subscribed()

    def set_labels(self, labels: Iterable[Label]) -> None:
        """Have a cloud topic for each of these labels."""
        self._clouds.update(labels)

    def sweep(self) -> None:
        """Take away the topics of labels that are gone."""
        self._clouds.sweep()

    def publish(self, products: FrameResult, header: Header, camera_info: CameraInfo | None) -> None:
        """Send what was made of a frame. camera_info: of the image, or None where it is not known."""
        if camera_info is not None and self._camera_info.get_subscription_count():
            camera_info.header = header
            self._camera_info.publish(camera_info)
        segmentation = products.segmentation
        publish_image(self._mask, header, segmentation.label_map, "mono8")
        publish_image(self._confidence, header, segmentation.confidence, "mono8")
        if self._mask_compressed.get_subscription_count():
            png = CompressedImage(header=header)
            fill_png(png, segmentation.label_map)
            self._mask_compressed.publish(png)
        if products.overlay is not None:
            publish_image(self._overlay, header, products.overlay, "rgb8")
        if products.points is not None:
            self._points.publish(cloud_to_cdr(header, products.points, is_dense=False))
        if products.clouds is not None:
            self._clouds.publish(products.clouds, header)
        if products.summary is not None:
            self._summary.publish(summary_to_message(products.summary, segmentation.vocabulary.epoch, header))

    def destroy(self) -> None:
        self._clouds.destroy()
        for each in self._created:
            self._node.destroy_publisher(each)

    def _create(self, topic: Topic, message_type: type) -> Publisher:
        """The topic's publisher, one of those that ``destroy`` destroys."""
        name = topic.of(self._camera).name

        def mismatch(_: Any) -> None:
            asked = "reliable or best effort, volatile"
            self._on_mismatch(f"{name}: a subscriber asks for a QoS that this topic does not offer ({asked})")

        events = PublisherEventCallbacks(incompatible_qos=mismatch)
        try:
            publisher = self._node.create_publisher(message_type, name, FRAME_QOS, event_callbacks=events)
        except UnsupportedEventTypeError:  # a middleware that cannot tell, or knows no mismatch
            publisher = self._node.create_publisher(message_type, name, FRAME_QOS)
        self._created.append(publisher)
        return publisher
