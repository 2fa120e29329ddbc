"""Which words the ids in the mask stand for, told to everyone and to those who come late."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher

from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.conversions import vocabulary_to_message
from lseg_ros.ros.qos import LATCHED_QOS
from lseg_ros.ros.topics import LABEL_INFO, VOCABULARY, Topic
from lseg_ros.vocabulary import Vocabulary

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None

__all__ = ["VocabularyPublisher"]

logger = logging.getLogger(__name__)


class VocabularyPublisher:
    """``~/vocabulary``, and ``~/label_info`` where vision_msgs is installed; the same under the name of each camera.

    Its methods exclude each other by a lock that the caller holds.
    """

    def __init__(self, node: Node, model: str, cameras: Sequence[str] = ()) -> None:
        self._node = node
        self._model = model
        self._epoch = 0  # of the vocabulary that was told last
        self._listed: tuple[dict[int, str], float] = ({}, 0.0)  # in label_info, with its threshold
        self._retired_s: dict[int, float] = {}  # by id: when it was first told as retired
        self._vocabulary = self._open(VocabularyMessage, VOCABULARY, cameras)
        self._label_info: list[Publisher] = []
        if LabelInfo is None:
            logger.info("no %s: vision_msgs is not installed (%s says more)", LABEL_INFO.name, VOCABULARY.name)
        else:
            self._label_info = self._open(LabelInfo, LABEL_INFO, cameras)

    def tell(self, vocabulary: Vocabulary, stamp: Time, retire_grace_s: float, unlabeled_threshold: float) -> None:
        """Publish what is new since the last call, nothing where nothing is."""
        if vocabulary.epoch != self._epoch:
            message = vocabulary_to_message(vocabulary, self._model, stamp)
            for publisher in self._vocabulary:
                publisher.publish(message)
            self._epoch = vocabulary.epoch
        self._tell_label_info(vocabulary, stamp, retire_grace_s, unlabeled_threshold)

    def destroy(self) -> None:
        for publisher in (*self._vocabulary, *self._label_info):
            self._node.destroy_publisher(publisher)

    def _open(self, message_type: type, topic: Topic, cameras: Sequence[str]) -> list[Publisher]:
        names = [topic.of(camera).name for camera in ("", *cameras)]
        return [self._node.create_publisher(message_type, name, LATCHED_QOS) for name in names]

    def _tell_label_info(self, vocabulary: Vocabulary, stamp: Time, retire_grace_s: float, threshold: float) -> None:
        now_s = time.monotonic()
        retired = {label.id: self._retired_s.get(label.id, now_s) for label in vocabulary.retired}
        self._retired_s = retired
        lingering = tuple(label for label in vocabulary.retired if now_s - retired[label.id] < retire_grace_s)
        listed = {label.id: label.name for label in vocabulary.labels + lingering}
        if not self._label_info or (listed, threshold) == self._listed:
            return
        message = LabelInfo(threshold=threshold)
        message.class_map = [VisionClass(class_id=number, class_name=name) for number, name in listed.items()]
        message.header.stamp = stamp
        for publisher in self._label_info:
            publisher.publish(message)
        self._listed = (listed, threshold)
