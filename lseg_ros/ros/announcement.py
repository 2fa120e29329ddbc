"""Which words the ids in the mask stand for, told to everyone and to those who come late."""

from __future__ import annotations

import logging
import time

from builtin_interfaces.msg import Time
from rclpy.node import Node

from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.qos import LATCHED_QOS
from lseg_ros.ros.topics import LABEL_INFO, VOCABULARY
from lseg_ros.ros.vocabulary_message import vocabulary_message
from lseg_ros.vocabulary import Vocabulary

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None

__all__ = ["Announcement"]

logger = logging.getLogger(__name__)


class Announcement:
    """``~/vocabulary``, and ``~/label_info`` where vision_msgs is installed.

    Its methods exclude each other by a lock that the caller holds.
    """

    def __init__(self, node: Node, model: str) -> None:
        self._node = node
        self._model = model
        self._epoch = 0  # of the vocabulary that was told last
        self._listed: tuple[dict[int, str], float] = ({}, 0.0)  # in label_info, with its threshold
        self._retired_s: dict[int, float] = {}  # by id: when it was first told as retired
        self._vocabulary = node.create_publisher(VocabularyMessage, VOCABULARY.name, LATCHED_QOS)
        self._label_info = None
        if LabelInfo is None:
            logger.info("no %s: vision_msgs is not installed (%s says more)", LABEL_INFO.name, VOCABULARY.name)
        else:
            self._label_info = node.create_publisher(LabelInfo, LABEL_INFO.name, LATCHED_QOS)

    def tell(self, vocabulary: Vocabulary, stamp: Time, retire_grace_s: float, unlabeled_threshold: float) -> None:
        """Publish what is new since the last call, nothing where nothing is."""
        if vocabulary.epoch != self._epoch:
            self._vocabulary.publish(vocabulary_message(vocabulary, self._model, stamp))
            self._epoch = vocabulary.epoch
        self._tell_label_info(vocabulary, stamp, retire_grace_s, unlabeled_threshold)

    def destroy(self) -> None:
        self._node.destroy_publisher(self._vocabulary)
        if self._label_info is not None:
            self._node.destroy_publisher(self._label_info)

    def _tell_label_info(self, vocabulary: Vocabulary, stamp: Time, retire_grace_s: float, threshold: float) -> None:
        now_s = time.monotonic()
        retired = {label.id: self._retired_s.get(label.id, now_s) for label in vocabulary.retired}
        self._retired_s = retired
        lingering = tuple(label for label in vocabulary.retired if now_s - retired[label.id] < retire_grace_s)
        listed = {label.id: label.name for label in vocabulary.labels + lingering}
        if self._label_info is None or (listed, threshold) == self._listed:
            return
        message = LabelInfo(threshold=threshold)
        message.class_map = [VisionClass(class_id=number, class_name=name) for number, name in listed.items()]
        message.header.stamp = stamp
        self._label_info.publish(message)
        self._listed = (listed, threshold)
