"""The node of the demo: it scores masks, changes the labels and takes pictures."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import Image, PointCloud2

from lseg_ros.demo.metrics import SegmentationMetrics
from lseg_ros.demo.synthetic_camera import GROUND_TRUTH
from lseg_ros.messages import image_to_rgb, stamp_ns
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.conversions import vocabulary_from_message
from lseg_ros.ros.topics import CLOUD_PREFIX, CONFIDENCE, FRAME_QOS, IMAGE, LATCHED_QOS, MASK, POINTS
from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Frame, LabelCloud, Segmentation, to_xyz
from lseg_ros.visualization import demo_picture
from lseg_ros.vocabulary import Vocabulary

__all__ = ["DemoObserver", "Snapshot"]

_TRUTH_KEPT = 50  # ground-truth label maps that wait for the mask of their stamp
_STAMPS_KEPT = 20


class DemoObserver(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Compares each mask with the ground truth of the same stamp.

    Callbacks run in the executor's thread, all other methods in the thread of the demo.

    Attributes:
        vocabulary: The vocabulary that the segmentation node published last; None before the first.
        last_mask: The latest mask, (H, W) uint8 label ids; None before the first.
        stale_masks: Number of masks that contain a removed label although their image was taken after the change.
    """

    def __init__(self, target: str, class_ids: Mapping[str, int]) -> None:
        """Subscribe to a segmentation node and to the ground truth.

        Args:
            target: Name of the segmentation node.
            class_ids: Ground-truth label id by class name.
        """
        super().__init__("demo_observer")
        self._target = target
        self._class_ids = class_ids
        self._lock = threading.Lock()
        self._truth: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._metrics: SegmentationMetrics | None = None
        self._valid_from_ns = 0
        self.vocabulary: Vocabulary | None = None
        self.last_mask: NDArray[np.uint8] | None = None
        self.stale_masks = 0
        self._removed_ids: list[int] = []
        self._removed_since_ns = 0
        self._parameter_client = AsyncParameterClient(self, target)
        self.create_subscription(VocabularyMessage, f"{target}/vocabulary", self._on_vocabulary, LATCHED_QOS)
        self.create_subscription(Image, GROUND_TRUTH, self._on_truth, FRAME_QOS)
        self.create_subscription(Image, f"{target}/mask", self._on_mask, FRAME_QOS)

    def start_scoring(self) -> SegmentationMetrics:
        """Start new metrics for the current vocabulary; they count only images taken from now on."""
        with self._lock:
            if self.vocabulary is None:
                raise ValueError("vocabulary: expected one before the first mask, got none")
            self._valid_from_ns = self.get_clock().now().nanoseconds
            self._metrics = SegmentationMetrics(self.vocabulary, self._class_ids)
            return self._metrics

    def stop_scoring(self) -> None:
        """Stop counting masks until the next ``start_scoring``."""
        with self._lock:
            self._metrics = None

    def change_labels(self, labels: Sequence[str], timeout_s: float = 30.0) -> None:
        """Set the node's parameter ``labels`` and wait for the answer.

        Raises:
            ValueError: The node rejects the labels or does not answer within the timeout.
        """
        before = self.vocabulary
        answered = threading.Event()
        parameter = Parameter("labels", Parameter.Type.STRING_ARRAY, list(labels))
        future = self._parameter_client.set_parameters([parameter])
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(timeout_s):
            raise ValueError(f"labels: expected an answer within {timeout_s} s, got none")
        result = future.result().results[0]
        if not result.successful:
            raise ValueError(f"labels: rejected, {result.reason}")
        with self._lock:
            if before is not None:
                kept = Vocabulary.of(labels).names
                self._removed_ids = [label.id for label in before.labels if label.name not in kept]
                self._removed_since_ns = self.get_clock().now().nanoseconds

    def shares_in_view(self) -> dict[str, float]:
        """Share of the last mask by label name, largest first."""
        mask, vocabulary = self.last_mask, self.vocabulary
        if mask is None or vocabulary is None:
            return {}
        share = np.bincount(mask.reshape(-1), minlength=256) / mask.size
        shares = {label.name: float(share[label.id]) for label in vocabulary.labels if share[label.id] > 0}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def start_snapshot(self) -> Snapshot:
        """Start to collect complete frames with the current vocabulary."""
        if self.vocabulary is None:
            raise ValueError("vocabulary: expected one before the first mask, got none")
        return Snapshot(self, self._target, self.vocabulary)

    def _on_vocabulary(self, message: VocabularyMessage) -> None:
        self.vocabulary = vocabulary_from_message(message)

    def _on_truth(self, message: Image) -> None:
        with self._lock:
            self._truth[stamp_ns(message.header)] = _to_array(message)
            while len(self._truth) > _TRUTH_KEPT:
                self._truth.popitem(last=False)

    def _on_mask(self, message: Image) -> None:
        arrived_s, mask, stamp = time.monotonic(), _to_array(message), stamp_ns(message.header)
        latency_ms = (self.get_clock().now().nanoseconds - stamp) / 1e6
        self.last_mask = mask
        with self._lock:
            if stamp > self._removed_since_ns:
                self.stale_masks += bool(np.isin(mask, self._removed_ids).any())
            if self._metrics is not None and stamp > self._valid_from_ns:
                self._metrics.add(mask, self._truth.get(stamp), arrived_s, latency_ms)


class Snapshot:
    """Collects all messages of the newest complete frame.

    They are the image, mask, confidence, the organized cloud and every label cloud, all with the stamp of the image.
    The depth image of a real camera has another stamp, so depth is read from the cloud. Images taken before the start
    are ignored.

    Attributes:
        frames: Number of complete frames so far.
    """

    def __init__(self, node: Node, target: str, vocabulary: Vocabulary) -> None:
        """Subscribe to the image and to the outputs of the segmentation node ``target``."""
        self.frames = 0
        self._node = node
        self._vocabulary = vocabulary
        self._start_ns = node.get_clock().now().nanoseconds
        self._complete = threading.Event()
        self._by_stamp: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        self._messages: dict[str, Any] = {}
        self._clouds = {f"{CLOUD_PREFIX}{label.slug}": label for label in vocabulary.labels}
        topics = {IMAGE.name: Image, MASK.name: Image, CONFIDENCE.name: Image, POINTS.name: PointCloud2}
        self._expected = topics | dict.fromkeys(self._clouds, PointCloud2)
        self._subscriptions = [
            node.create_subscription(message_type, topic.replace("~", target), self._make_callback(topic), FRAME_QOS)
            for topic, message_type in self._expected.items()
        ]

    def draw(self, timeout_s: float) -> NDArray[np.uint8]:
        """Draw the newest complete frame as four panels, and unsubscribe.

        Args:
            timeout_s: How long to wait if no frame is complete yet.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            ValueError: No frame was complete within the timeout; the message lists the missing topics.
        """
        complete = self._complete.wait(timeout_s)
        # In the executor's thread: rclpy raises an exception if a subscription disappears while it waits for it.
        self._node.executor.create_task(self._unsubscribe)
        if not complete:
            best = max((set(messages) for messages in self._by_stamp.values()), key=len, default=set())
            missing = ", ".join(sorted(set(self._expected) - best))
            raise ValueError(f"picture: expected a complete frame within {timeout_s} s, never got {missing}")
        messages = self._messages
        points = messages[POINTS.name]
        xyz = to_xyz(np.frombuffer(points.data, POINT_DTYPE).reshape(points.height, points.width))
        frame = Frame(image_to_rgb(messages[IMAGE.name]), np.ascontiguousarray(xyz[..., 2]))
        mask, confidence = (_to_array(messages[topic.name]) for topic in (MASK, CONFIDENCE))
        segmentation = Segmentation(mask, confidence, self._vocabulary)
        clouds = [
            LabelCloud(label, np.frombuffer(messages[topic].data, CLOUD_DTYPE)) for topic, label in self._clouds.items()
        ]
        return demo_picture(frame, segmentation, clouds)

    def _unsubscribe(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _make_callback(self, topic: str) -> Callable[[Any], None]:
        def on_message(message: Any) -> None:
            stamp = stamp_ns(message.header)
            if stamp < self._start_ns:
                return
            self._by_stamp[stamp][topic] = message
            if len(self._by_stamp[stamp]) == len(self._expected):
                self._messages = self._by_stamp.pop(stamp)
                self.frames += 1
                self._complete.set()
            while len(self._by_stamp) > _STAMPS_KEPT:
                del self._by_stamp[min(self._by_stamp)]

        return on_message


def _to_array(message: Any) -> NDArray[np.uint8]:
    """(H, W) pixels of a mono8 image without row padding, as this package publishes it."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
