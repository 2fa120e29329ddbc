"""The network with its labels, for programs without ROS."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.pipeline import FrameResult, Outputs, Pipeline, PipelineConfig
from lseg_ros.structures import Frame
from lseg_ros.vocabulary import Label, Vocabulary

__all__ = ["Labeler", "LabelerConfig"]


@dataclass(frozen=True)
class LabelerConfig:
    """What determines the results of a frame. It can be sent to another process.

    Attributes:
        network: Settings of the network.
        pipeline: Settings of the outputs.
        vocabulary: The labels.
    """

    network: SegmenterConfig
    pipeline: PipelineConfig
    vocabulary: Vocabulary

    def facts(self) -> tuple[Any, ...]:
        """Return what results depend on, for comparison with an earlier run."""
        checkpoint = Path(self.network.checkpoint).expanduser()
        weights = hashlib.sha256(checkpoint.read_bytes()).hexdigest() if checkpoint.is_file() else checkpoint.name
        network = dataclasses.replace(self.network, checkpoint=weights, cpu_threads=0)
        return network, self.pipeline, self.vocabulary


class Labeler:
    """Labels frames. Loading takes seconds.

    Attributes:
        config: The settings.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the checkpoint is not an LSeg network, or a label is too long for it.
    """

    def __init__(self, config: LabelerConfig) -> None:
        self.config = config
        segmenter = Segmenter.from_checkpoint(config.network)
        self._pipeline = Pipeline(segmenter, config.pipeline)
        self._encoded = segmenter.encode(config.vocabulary)

    @property
    def labels_with_cloud(self) -> tuple[Label, ...]:
        """The labels that get a cloud."""
        return self.config.pipeline.labels_with_cloud(self.config.vocabulary)

    @property
    def unlabeled_threshold(self) -> float:
        """The softmax below which a pixel is unlabeled."""
        threshold = self.config.network.unlabeled_threshold
        return threshold if threshold >= 0 else self._pipeline.segmenter.model.config.unlabeled_threshold

    def process(self, frame: Frame, outputs: Outputs = Outputs.NONE) -> FrameResult:
        """Compute the outputs of one frame.

        Raises:
            ValueError: If the image is too small.
        """
        return self._pipeline.process(frame, self._encoded, outputs)
