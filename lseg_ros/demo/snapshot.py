"""All messages of one frame, gathered for a picture."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from lseg_ros.messages import stamp_ns
from lseg_ros.ros.conversions import assemble
from lseg_ros.ros.qos import FRAME_QOS
from lseg_ros.ros.topics import CLOUD_PREFIX, CONFIDENCE, DEPTH, IMAGE, INFO, MASK
from lseg_ros.structures import CLOUD_DTYPE, LabelCloud, Segmentation
from lseg_ros.visualization import demo_picture
from lseg_ros.vocabulary import Vocabulary

__all__ = ["Snapshot"]

_STAMPS_KEPT = 20


class Snapshot:
    """Listens until there is one frame of which everything has come: image, depth, mask, and each label's cloud.

    target: the segmentation node's name.
    """

    def __init__(self, node: Node, target: str, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._complete = threading.Event()
        self._by_stamp: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        self._messages: dict[str, Any] = {}
        self._clouds = {f"{CLOUD_PREFIX}{label.slug}": label for label in vocabulary.labels}
        topics = {IMAGE.name: Image, DEPTH.name: Image, INFO.name: CameraInfo, MASK.name: Image, CONFIDENCE.name: Image}
        self._expected = topics | dict.fromkeys(self._clouds, PointCloud2)
        for topic, message_type in self._expected.items():
            name = topic.replace("~", target)
            node.create_subscription(message_type, name, self._store(topic), FRAME_QOS)

    def picture(self, timeout_s: float) -> NDArray[np.uint8]:
        """The frame in four panels, (H, W, 3) uint8 RGB. Raises ValueError where none was complete in time."""
        if not self._complete.wait(timeout_s):
            best = max((set(each) for each in self._by_stamp.values()), key=len, default=set())
            missing = ", ".join(sorted(set(self._expected) - best))
            raise ValueError(f"picture: expected a frame with everything within {timeout_s} s, never got {missing}")
        messages = self._messages
        frame = assemble(messages[IMAGE.name], messages[DEPTH.name], messages[INFO.name]).frame
        mask, confidence = (_pixels(messages[topic.name]) for topic in (MASK, CONFIDENCE))
        segmentation = Segmentation(mask, confidence, self._vocabulary)
        clouds = [
            LabelCloud(label, np.frombuffer(messages[topic].data, CLOUD_DTYPE)) for topic, label in self._clouds.items()
        ]
        return demo_picture(frame, segmentation, clouds)

    def _store(self, topic: str) -> Callable[[Any], None]:
        def store(message: Any) -> None:
            if self._complete.is_set():
                return
            stamp = stamp_ns(message.header)
            self._by_stamp[stamp][topic] = message
            if len(self._by_stamp[stamp]) == len(self._expected):
                self._messages = self._by_stamp[stamp]
                self._complete.set()
            while len(self._by_stamp) > _STAMPS_KEPT:
                del self._by_stamp[min(self._by_stamp)]

        return store


def _pixels(message: Any) -> NDArray[np.uint8]:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
