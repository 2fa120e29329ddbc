"""Publishers of one camera.

Every message carries the header of the image that it was computed from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.messages import fill_png
from lseg_ros.msg import SegmentationSummary
from lseg_ros.pipeline import FrameResult, Outputs
from lseg_ros.ros.conversions import publish_image, summary_to_message
from lseg_ros.ros.topics import (
    CAMERA_INFO,
    CONFIDENCE,
    FRAME_QOS,
    MASK,
    MASK_COMPRESSED,
    OVERLAY,
    POINTS,
    SUMMARY,
    Topic,
    resolve_transport,
)
from lseg_ros.structures import CLOUD_DTYPE, LabelCloud
from lseg_ros.vocabulary import Label

try:
    from rclpy.event_handler import PublisherEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, UnsupportedEventTypeError

__all__ = ["LabelCloudPublishers", "Publishers"]

_NO_POINTS = np.empty(0, CLOUD_DTYPE)
_RETIREMENT_S = 1.0  # time for subscribers to receive the last message of a removed topic


class LabelCloudPublishers:
    """Publishers of ``~/points/<slug>``, one for each label.

    The caller holds a lock around all methods except ``subscribed_topics``.
    """

    def __init__(self, node: Node, prefix: str) -> None:
        """Create no topic yet.

        Args:
            node: The node that publishes.
            prefix: Prefix of the topic names, before the slug.
        """
        self._node = node
        self._prefix = prefix
        self._publishers: dict[str, Publisher] = {}  # by slug
        self._retired: list[tuple[float, Publisher]] = []  # with the time of retirement
        self._header = Header()  # of the last frame

    def update(self, labels: Iterable[Label]) -> None:
        """Create the topics of new labels and retire those of removed labels.

        A retired topic publishes an empty cloud first. Otherwise a consumer such as Nav2's obstacle layer would keep
        the last cloud of the removed label.
        """
        slugs = [label.slug for label in labels]
        old = self._publishers
        for publisher in [old[slug] for slug in old if slug not in slugs]:
            self._publish_empty(publisher)
            self._retired.append((time.monotonic(), publisher))
        self._publishers = {slug: old[slug] if slug in old else self._create(slug) for slug in slugs}

    def subscribed_topics(self) -> list[str]:
        """List the names of the topics with subscribers. Any thread may call this."""
        return [publisher.topic_name for publisher in self._publishers.values() if publisher.get_subscription_count()]

    def publish(self, clouds: Iterable[LabelCloud], header: Header) -> None:
        """Publish the clouds of one frame, including empty ones, on the topics with subscribers."""
        self._header = header
        for cloud in clouds:
            publisher = self._publishers.get(cloud.label.slug)
            if publisher is not None and publisher.get_subscription_count():
                publisher.publish(cloud_to_cdr(header, cloud.points, is_dense=True))

    def destroy_retired(self) -> None:
        """Destroy the topics that were retired more than a second ago."""
        now_s = time.monotonic()
        for entry in [entry for entry in self._retired if now_s - entry[0] > _RETIREMENT_S]:
            self._retired.remove(entry)
            self._node.destroy_publisher(entry[1])

    def destroy(self) -> None:
        """Destroy all topics after their subscribers received an empty cloud."""
        publishers, self._publishers = list(self._publishers.values()), {}
        subscribed = []
        if self._node.context.ok():  # otherwise nothing can be published anymore
            subscribed = [publisher for publisher in publishers if publisher.get_subscription_count()]
        for publisher in subscribed:
            self._publish_empty(publisher)
        deadline_s = time.monotonic() + _RETIREMENT_S
        for publisher in subscribed:
            publisher.wait_for_all_acked(Duration(seconds=max(deadline_s - time.monotonic(), 0.0)))
        for publisher in (*publishers, *(retired for _, retired in self._retired)):
            self._node.destroy_publisher(publisher)
        self._retired = []

    def _create(self, slug: str) -> Publisher:
        return self._node.create_publisher(PointCloud2, self._prefix + slug, FRAME_QOS)

    def _publish_empty(self, publisher: Publisher) -> None:
        publisher.publish(cloud_to_cdr(self._header, _NO_POINTS, is_dense=True))


class Publishers:
    """All output topics of one camera.

    The caller holds a lock around all methods except ``requested_outputs`` and ``subscribed_topics``.
    """

    def __init__(self, node: Node, camera: str, on_mismatch: Callable[[str], None]) -> None:
        """Create the publishers.

        Args:
            node: The node that publishes.
            camera: Name of the camera, "" for the only one.
            on_mismatch: Called with a description when a subscriber requests an incompatible QoS.
        """
        self._node = node
        self._camera = camera
        self._on_mismatch = on_mismatch
        self._created: list[Publisher] = []
        self._mask = self._create(MASK, Image)
        mask_compressed = resolve_transport(node, MASK.for_camera(camera).name, "compressed")
        self._mask_compressed = self._create(MASK_COMPRESSED, CompressedImage, mask_compressed)
        self._confidence = self._create(CONFIDENCE, Image)
        self._camera_info = self._create(CAMERA_INFO, CameraInfo)
        self._overlay = self._create(OVERLAY, Image)
        self._points = self._create(POINTS, PointCloud2)
        self._summary = self._create(SUMMARY, SegmentationSummary)
        self._clouds = LabelCloudPublishers(node, f"{POINTS.for_camera(camera).name}/")

    def requested_outputs(self) -> Outputs:
        """Return the outputs that have subscribers now. Mask and confidence are always computed."""
        outputs = Outputs.NONE
        if self._overlay.get_subscription_count():
            outputs |= Outputs.OVERLAY
        if self._points.get_subscription_count():
            outputs |= Outputs.POINTS
        if self._clouds.subscribed_topics():
            outputs |= Outputs.LABEL_CLOUDS
        if self._summary.get_subscription_count():
            outputs |= Outputs.SUMMARY
        return outputs

    def subscribed_topics(self) -> list[str]:
        """List the names of the topics with subscribers."""
        names = [publisher.topic_name for publisher in self._created if publisher.get_subscription_count()]
        return names + self._clouds.subscribed_topics()

    def set_labels(self, labels: Iterable[Label]) -> None:
        """Provide one cloud topic for each of these labels."""
        self._clouds.update(labels)

    def destroy_retired(self) -> None:
        """Destroy the cloud topics of labels that were removed a while ago."""
        self._clouds.destroy_retired()

    def publish(self, result: FrameResult, header: Header, camera_info: CameraInfo | None) -> None:
        """Publish the result of one frame.

        Args:
            result: The result. Outputs that are None are not published.
            header: Header of the image.
            camera_info: CameraInfo of the image, or None if it is not known.
        """
        if camera_info is not None and self._camera_info.get_subscription_count():
            camera_info.header = header
            self._camera_info.publish(camera_info)
        segmentation = result.segmentation
        publish_image(self._mask, header, segmentation.label_map, "mono8")
        publish_image(self._confidence, header, segmentation.confidence, "mono8")
        if self._mask_compressed.get_subscription_count():
            png = CompressedImage(header=header)
            fill_png(png, segmentation.label_map)
            self._mask_compressed.publish(png)
        if result.overlay is not None:
            publish_image(self._overlay, header, result.overlay, "rgb8")
        if result.points is not None:
            self._points.publish(cloud_to_cdr(header, result.points, is_dense=False))
        if result.clouds is not None:
            self._clouds.publish(result.clouds, header)
        if result.summary is not None:
            self._summary.publish(summary_to_message(result.summary, segmentation.vocabulary.epoch, header))

    def destroy(self) -> None:
        """Destroy all topics."""
        self._clouds.destroy()
        for publisher in self._created:
            self._node.destroy_publisher(publisher)

    def _create(self, topic: Topic, message_type: type, resolved: str | None = None) -> Publisher:
        """Create a publisher that ``destroy`` destroys. Its name may differ from the topic's."""
        name = topic.for_camera(self._camera).name

        def on_incompatible_qos(_: Any) -> None:
            offered = "reliable or best effort, volatile"
            self._on_mismatch(f"{name}: a subscriber requests a QoS that this topic does not offer ({offered})")

        events = PublisherEventCallbacks(incompatible_qos=on_incompatible_qos)
        try:
            publisher = self._node.create_publisher(message_type, resolved or name, FRAME_QOS, event_callbacks=events)
        except UnsupportedEventTypeError:  # some middlewares do not report incompatible QoS
            publisher = self._node.create_publisher(message_type, resolved or name, FRAME_QOS)
        self._created.append(publisher)
        return publisher
