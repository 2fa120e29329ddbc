"""Validation during training: scores as in ``lseg evaluate``, and pictures."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets import IGNORE, ZERO_SHOT, DatasetConfig, open_dataset, open_episodes
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.tasks import OTHERS, EpisodeTask, ImageTask, Task
from lseg_ros.structures import Segmentation
from lseg_ros.training.config import TrainingConfig
from lseg_ros.visualization import overlay, side_by_side
from lseg_ros.vocabulary import MAX_ID, Vocabulary

__all__ = ["Validation", "draw_sample", "open_samples"]

_LOG = logging.getLogger(__name__)
_SCENES_SEED = 900_000  # of the synthetic world: far from the small seeds that evaluations use


def open_samples(data: DatasetConfig) -> Any:
    """Open a data set as LabeledImages, or as Episodes if it is a zero-shot set.

    Raises:
        OSError: As ``open_dataset`` and ``open_episodes``.
        ValueError: As ``open_dataset`` and ``open_episodes``.
    """
    return open_episodes(data) if data.dataset in ZERO_SHOT else open_dataset(data)


class Validation:
    """The val split of a data set, or a part of it, which the processes share.

    Attributes:
        images: The val split.
        indices: Indices of the images to score.
    """

    def __init__(self, config: TrainingConfig) -> None:
        data = dataclasses.replace(config.data, split="val")
        if data.dataset == "synthetic":
            data = dataclasses.replace(data, seed=_SCENES_SEED, frames=config.validation_images or 200, colors=False)
        self.images = open_samples(data)
        count = min(config.validation_images or len(self.images), len(self.images))
        self.indices = np.linspace(0, len(self.images) - 1, count).round().astype(int).tolist()
        self._zero_shot = config.zero_shot

    def warn_of_overlap(self, images: Any) -> None:
        """Log a warning if the val split is the training set.

        This is the case for a folder without train and val folders.
        """
        if images.name(0) == self.images.name(0):
            _LOG.warning("%s: no val split found, the validation uses training images", images.name(0))

    def count_share(self, predictor: Predictor, process: int, processes: int) -> Task[Any]:
        """Count the predictions for the images of one process.

        Args:
            predictor: The network to score.
            process: Rank of the process.
            processes: Number of processes.

        Raises:
            OSError: A sample cannot be read; the message names the file.
            ValueError: A sample cannot be scored; the message names the sample.
        """
        task: Task[Any] = (EpisodeTask if self._zero_shot else ImageTask)(predictor, self.images)
        for index in self.indices[process::processes]:
            sample = self.images[index]
            try:
                task.add(sample)
            except ValueError as error:
                raise ValueError(f"{self.images.name(index)}: {error}") from error
        return task

    def pictures(self, predictor: Predictor, count: int) -> Iterator[NDArray[np.uint8]]:
        """Draw image, ground truth and prediction of the first ``count`` images."""
        for index in self.indices[:count]:
            sample = self.images[index]
            classes = (OTHERS, self.images.classes[sample.class_index]) if self._zero_shot else self.images.classes
            prediction = predictor.predict(sample.image, predictor.encode_labels(classes)).numpy()
            yield draw_sample(sample.image, sample.target, prediction, classes)


def draw_sample(
    image: NDArray[np.uint8], target: NDArray[np.int16], prediction: NDArray[np.int16], classes: Sequence[str]
) -> NDArray[np.uint8]:
    """Draw three panels with legends: image, ground truth and prediction.

    A class has the same color in both masks. Only visible classes get a color, because a data set may have more classes
    than a mask has ids.

    Args:
        image: (H, W, 3) uint8 RGB.
        target: (H, W) class indices or IGNORE.
        prediction: (H, W) class indices or IGNORE.
        classes: Label list entries.

    Returns:
        The picture as (height, width, 3) uint8 RGB.
    """
    names = [entry.partition("|")[0].strip() for entry in classes]
    known = [indices[indices != IGNORE] for indices in (target, prediction)]
    visible, counts = np.unique(np.concatenate(known), return_counts=True)
    largest_first = visible[np.argsort(-counts, kind="stable")]
    drawn = list({names[index].casefold(): names[index] for index in largest_first}.values())[:MAX_ID]
    if not drawn:
        return side_by_side({"image": image})
    vocabulary = Vocabulary.of(drawn)
    ids = {label.name.casefold(): label.id for label in vocabulary.labels}
    id_lut = np.array([*(ids.get(name.casefold(), 0) for name in names), 0], np.uint8)  # IGNORE (-1) reads the last
    panels = {"image": image}
    for title, indices in (("truth", target), ("prediction", prediction)):
        confidence = np.full(indices.shape, 255, np.uint8)
        panels[title] = overlay(image, Segmentation(id_lut[indices], confidence, vocabulary))
    return side_by_side(panels)
