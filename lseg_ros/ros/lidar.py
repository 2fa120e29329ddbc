"""The lidar of the node: its clouds, their place in each camera, and the labeled cloud."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import PointCloud2

from lseg_ros.cdr import cloud_from_cdr, cloud_to_cdr, read_stamp_ns
from lseg_ros.lidar import LabeledCloud, merge_labels
from lseg_ros.matching import StampedCache
from lseg_ros.messages import cloud_to_xyz
from lseg_ros.ros.conversions import make_header
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.subscriptions import explain_silence
from lseg_ros.ros.topics import CLOUD, FRAME_QOS, LABELED_CLOUD
from lseg_ros.ros.transforms import TF_MISSING, TransformListener
from lseg_ros.ros.wait_set import DetachedCallbackGroup, SubscriptionWaitSet
from lseg_ros.structures import Cloud
from lseg_ros.transforms import parse_pose

__all__ = ["Lidar"]

_UNKNOWN_PLACE = np.full((4, 4), np.nan)

_MAX_PENDING = 2  # clouds that wait for the other cameras; a camera that is silent delays them by this many


class Lidar:
    """The lidar of the node. Create it only if ``points_source`` uses one.

    It publishes while the node is configured and receives while the node is active. The caller holds a lock around
    ``open``, ``close``, ``clear`` and ``publish``.
    """

    def __init__(self, node: Node, labels: LabelManager) -> None:
        """Create a closed lidar.

        Args:
            node: The node that publishes and subscribes.
            labels: Holds the current settings.
        """
        self._node = node
        self._labels = labels
        cameras, poses = labels.state.node.cameras or ("",), labels.state.node.cloud_extrinsics
        self._extrinsics = {camera: parse_pose(pose, "cloud_extrinsics") for camera, pose in zip(cameras, poses)}
        self._cameras = len(cameras)
        self._clouds: StampedCache[bytes] = StampedCache()
        self._read: tuple[bytes, Cloud] | None = None  # the last message and its cloud, which other cameras need too
        self._pending: dict[int, dict[str, LabeledCloud]] = {}  # by stamp of the cloud, then by camera
        self._published_ns: int | None = None
        self._publisher: Publisher | None = None  # while open
        self._subscription: Subscription | None = None  # while subscribed
        self._wait_set: SubscriptionWaitSet | None = None
        self._transforms: TransformListener | None = None

    def open(self) -> None:
        """Create the publisher."""
        self._publisher = self._node.create_publisher(PointCloud2, LABELED_CLOUD.name, FRAME_QOS)

    def close(self) -> None:
        """Destroy the publisher."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
        self._publisher = None
        self.clear()

    def subscribe(self, transforms: TransformListener | None = None) -> None:
        """Subscribe to the clouds. ``transforms`` is needed unless ``cloud_extrinsics`` is set."""
        self._transforms = transforms
        self._clouds = StampedCache()
        self._subscription = self._node.create_subscription(
            PointCloud2,
            CLOUD.name,
            lambda data: self._clouds.add(read_stamp_ns(data), data),
            QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.BEST_EFFORT),
            callback_group=DetachedCallbackGroup(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=True,
        )
        self._wait_set = SubscriptionWaitSet(self._node, [self._subscription])

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        if self._wait_set is not None:
            self._wait_set.close()
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._transforms = self._wait_set = self._subscription = self._read = None

    def is_requested(self) -> bool:
        """Return whether the labeled cloud has a subscriber. Any thread may call this."""
        return self._publisher is not None and self._publisher.get_subscription_count() > 0

    def match(self, camera: str, frame_id: str, stamp_ns: int, deadline_s: float) -> Cloud:
        """Find the cloud of an image, and wait for it and for tf if they may still arrive.

        Args:
            camera: Name of the camera, "" for the only one.
            frame_id: Optical frame of the image.
            stamp_ns: Stamp of the image.
            deadline_s: When to stop waiting, in the time of ``time.monotonic``.

        Raises:
            ValueError: There is no usable cloud, or its place in the camera is not known. The message says why.
        """
        config = self._labels.state.node
        has_publisher = self._node.count_publishers(self._node.resolve_topic_name(CLOUD.name)) > 0
        patience_s = deadline_s - time.monotonic() if has_publisher else 0.0
        match = self._clouds.match(stamp_ns, round(config.cloud_slop_s * 1e9), patience_s)
        if match.item is None and match.offset_ns is None:
            raise ValueError(explain_silence(self._node, CLOUD.name, CLOUD, "remap cloud to the topic of the lidar"))
        if match.item is None:
            offset_s = (match.offset_ns or 0) / 1e9
            raise ValueError(
                f"the nearest cloud is {offset_s:+.3f} s from the image's stamp: "
                f"check the clocks, or raise cloud_slop_s ({config.cloud_slop_s} s)"
            )
        cloud = self._to_cloud(match.item)
        if self._extrinsics:
            to_camera = self._extrinsics[camera]
        elif self._transforms is None or not self._transforms.available:
            raise ValueError(f"{TF_MISSING}: set cloud_extrinsics")
        else:
            to_camera = self._transforms.buffer.lookup_between(
                frame_id,
                stamp_ns,
                cloud.frame_id,
                cloud.stamp_ns,
                config.fixed_frame,
                deadline_s - time.monotonic(),
            )
        return Cloud(cloud.xyz, to_camera, cloud.shape, cloud.stamp_ns, cloud.frame_id)

    def publish(self, camera: str, labeled: LabeledCloud) -> None:
        """Add what a camera sees of a cloud, and publish the cloud when every camera has seen it.

        Clouds are published once and in order. If a camera sees only later clouds, or none, a cloud is published
        without it.

        Args:
            camera: Name of the camera.
            labeled: The points that it sees.
        """
        stamp_ns, last_ns = labeled.cloud.stamp_ns, self._published_ns
        if last_ns is not None and last_ns - 1_000_000_000 < stamp_ns <= last_ns:
            return
        self._pending.setdefault(stamp_ns, {})[camera] = labeled
        for pending_ns in sorted(self._pending):
            views = self._pending[pending_ns]
            is_complete = len(self._pending[stamp_ns]) == self._cameras and pending_ns <= stamp_ns
            if is_complete or len(self._pending) > _MAX_PENDING:
                del self._pending[pending_ns]
                self._send(views)
            if stamp_ns not in self._pending:
                break

    def clear(self) -> None:
        """Drop the labels of clouds that are not published yet."""
        self._pending = {}

    def _send(self, views: Mapping[str, LabeledCloud]) -> None:
        cloud = next(iter(views.values())).cloud
        self._published_ns = cloud.stamp_ns
        if self._publisher is not None:
            header = make_header(cloud.stamp_ns, cloud.frame_id)
            self._publisher.publish(cloud_to_cdr(header, merge_labels(cloud, views.values()), is_dense=False))

    def _to_cloud(self, data: bytes) -> Cloud:
        """Read a message. Its place in a camera is not known yet."""
        if self._read is None or self._read[0] is not data:
            message = cloud_from_cdr(data)
            xyz = cloud_to_xyz(message)
            shape, stamp_ns = (message.height, message.width), read_stamp_ns(data)
            self._read = data, Cloud(xyz, _UNKNOWN_PLACE, shape, stamp_ns, message.header.frame_id)
        return self._read[1]
