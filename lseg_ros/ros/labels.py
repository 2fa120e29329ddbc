"""The active state of the node, how it changes, and how its labels are announced."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher

from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.conversions import vocabulary_to_message
from lseg_ros.ros.parameters import NodeConfig, with_parameters
from lseg_ros.ros.topics import LABEL_INFO, LATCHED_QOS, VOCABULARY, Topic
from lseg_ros.vocabulary import Vocabulary

if TYPE_CHECKING:  # importing PyTorch takes seconds, and modules that need only the types should not pay for it
    from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig
    from lseg_ros.pipeline import PipelineConfig

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None

__all__ = ["ActiveState", "LabelManager", "VocabularyPublisher"]

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class ActiveState:
    """Everything that may change while the node runs. It is replaced as a whole.

    Attributes:
        node: Settings of the node.
        segmenter: Settings of the network.
        pipeline: Settings of the outputs.
        vocabulary: The labels.
        encoded: The labels, encoded by the network. None while no network is loaded.
        network_threshold: The ``unlabeled_threshold`` that comes with the network. 0 while no network is loaded.
    """

    node: NodeConfig
    segmenter: SegmenterConfig
    pipeline: PipelineConfig
    vocabulary: Vocabulary
    encoded: EncodedVocabulary | None = None
    network_threshold: float = 0.0

    @property
    def unlabeled_threshold(self) -> float:
        """Softmax of the winning label below which a pixel is unlabeled, from 0 to 1."""
        threshold = self.segmenter.unlabeled_threshold
        return self.network_threshold if threshold < 0 else threshold


class LabelManager:
    """Holds the one active state.

    A change has two steps: ``propose`` validates it and encodes new labels, and may fail; ``commit`` activates it.

    Attributes:
        state: The active state. Any thread may read it. Read it once for each decision that needs several fields.
    """

    def __init__(self, node: NodeConfig, segmenter: SegmenterConfig, pipeline: PipelineConfig) -> None:
        """Create the state that a node starts with.

        Args:
            node: Settings of the node, with the labels and their ids and colors.
            segmenter: Settings of the network.
            pipeline: Settings of the outputs.

        Raises:
            ValueError: If the labels, ids, colors or prompt templates are invalid.
        """
        self.state = ActiveState(node, segmenter, pipeline, _initial_vocabulary(node))
        self._segmenter: Segmenter | None = None

    def load(self, segmenter: Segmenter) -> None:
        """Encode the current labels with a network, and use it for later proposals.

        Raises:
            ValueError: If a label is too long for the text encoder.
        """
        self.state = dataclasses.replace(
            self.state,
            encoded=segmenter.encode(self.state.vocabulary),
            network_threshold=segmenter.model.config.unlabeled_threshold,
        )
        self._segmenter = segmenter

    def unload(self) -> None:
        """Release the network and the encoded labels."""
        self._segmenter = None
        self.state = dataclasses.replace(self.state, encoded=None, network_threshold=0.0)

    def propose(self, parameters: Iterable[Parameter]) -> ActiveState:
        """Compute the state after a change of parameters. The current state does not change.

        Args:
            parameters: The changed parameters. Parameters that are not settings of the node are ignored.

        Raises:
            ValueError: If a parameter or label is invalid. The message names it.
        """
        parameters, state = list(parameters), self.state
        node = with_parameters(state.node, parameters)
        vocabulary = state.vocabulary
        if node.labels != vocabulary.entries:
            vocabulary = vocabulary.replace(node.labels)
        return self._encode(
            dataclasses.replace(
                state,
                node=node,
                segmenter=with_parameters(state.segmenter, parameters),
                pipeline=with_parameters(state.pipeline, parameters),
            ),
            vocabulary,
        )

    def propose_labels(
        self, entries: Sequence[str], ids: Sequence[int], colors: Sequence[str], *, append: bool
    ) -> ActiveState:
        """Compute the state after a change of labels. The current state does not change.

        Args:
            entries: One text per label, with ``|`` between synonyms.
            ids: One id per entry, or none.
            colors: One color per entry, or none.
            append: Add the labels to the current ones instead of replacing them.

        Raises:
            ValueError: If a label, id or color is invalid. The message names it.
        """
        state = self.state
        change = state.vocabulary.append if append else state.vocabulary.replace
        vocabulary = change(list(entries), ids=list(ids) or None, colors=list(colors) or None)
        node = dataclasses.replace(state.node, labels=vocabulary.entries)
        return self._encode(dataclasses.replace(state, node=node), vocabulary)

    def commit(self, state: ActiveState) -> None:
        """Activate a proposed state.

        The caller holds the lock under which frames are published, so no frame is published at the same time.
        """
        self.state = state

    def _encode(self, state: ActiveState, vocabulary: Vocabulary) -> ActiveState:
        """Add a vocabulary to a state and encode it.

        If the labels are equal, the state keeps its vocabulary and epoch.
        """
        if vocabulary.labels == state.vocabulary.labels:
            return state
        encoded = None if self._segmenter is None else self._segmenter.encode(vocabulary)
        return dataclasses.replace(state, vocabulary=vocabulary, encoded=encoded)


def _initial_vocabulary(config: NodeConfig) -> Vocabulary:
    for name, values in (("class_ids", config.class_ids), ("colors", config.colors)):
        if values and len(values) != len(config.labels):
            raise ValueError(f"{name}: expected one per label ({len(config.labels)}), got {len(values)}")
    return Vocabulary.of(
        config.labels,
        ids=config.class_ids or None,
        colors=config.colors or None,
        prompt_templates=config.prompt_templates,
    )


class VocabularyPublisher:
    """Publishes ``~/vocabulary`` and, if vision_msgs is installed, ``~/label_info``.

    Both are also published under the name of each camera. The caller holds a lock around all methods.
    """

    def __init__(self, node: Node, model: str, cameras: Sequence[str] = ()) -> None:
        """Create the publishers.

        Args:
            node: The node that publishes.
            model: Name of the preset or checkpoint.
            cameras: Names of the cameras.
        """
        self._node = node
        self._model = model
        self._epoch = 0  # of the last published vocabulary
        self._label_info_content: tuple[dict[int, str], float] = ({}, 0.0)  # published names by id, and threshold
        self._retired_s: dict[int, float] = {}  # by id: when the label was first published as retired
        self._vocabulary = self._create(VocabularyMessage, VOCABULARY, cameras)
        self._label_info: list[Publisher] = []
        if LabelInfo is None:
            logger.info("vision_msgs is not installed: %s is not published, use %s", LABEL_INFO.name, VOCABULARY.name)
        else:
            self._label_info = self._create(LabelInfo, LABEL_INFO, cameras)

    def publish(self, state: ActiveState, stamp: Time) -> None:
        """Publish what changed since the last call.

        Args:
            state: The active state.
            stamp: Stamp of the messages.
        """
        vocabulary = state.vocabulary
        if vocabulary.epoch != self._epoch:
            message = vocabulary_to_message(vocabulary, self._model, stamp)
            for publisher in self._vocabulary:
                publisher.publish(message)
            self._epoch = vocabulary.epoch
        self._publish_label_info(state, stamp)

    def destroy(self) -> None:
        """Destroy the topics."""
        for publisher in (*self._vocabulary, *self._label_info):
            self._node.destroy_publisher(publisher)

    def _create(self, message_type: type, topic: Topic, cameras: Sequence[str]) -> list[Publisher]:
        names = [topic.for_camera(camera).name for camera in ("", *cameras)]
        return [self._node.create_publisher(message_type, name, LATCHED_QOS) for name in names]

    def _publish_label_info(self, state: ActiveState, stamp: Time) -> None:
        now_s, vocabulary = time.monotonic(), state.vocabulary
        self._retired_s = {label.id: self._retired_s.get(label.id, now_s) for label in vocabulary.retired}
        still_listed = tuple(
            label for label in vocabulary.retired if now_s - self._retired_s[label.id] < state.node.retire_grace_s
        )
        names = {label.id: label.name for label in vocabulary.labels + still_listed}
        threshold = state.unlabeled_threshold
        if not self._label_info or (names, threshold) == self._label_info_content:
            return
        message = LabelInfo(threshold=threshold)
        message.class_map = [VisionClass(class_id=label_id, class_name=name) for label_id, name in names.items()]
        message.header.stamp = stamp
        for publisher in self._label_info:
            publisher.publish(message)
        self._label_info_content = (names, threshold)
