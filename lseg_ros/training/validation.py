"""Validation: what `lseg evaluate` would say of the network as it is now, and pictures of what it sees."""

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
_SCENES_SEED = 900_000  # of the synthetic world: scenes that no evaluation of a small seed shows


def open_samples(data: DatasetConfig) -> Any:
    """LabeledImages or Episodes. Raises what ``open_dataset`` and ``open_episodes`` raise."""
    return open_episodes(data) if data.dataset in ZERO_SHOT else open_dataset(data)


class Validation:
    """The val split of a run's data set, or part of it, shared by all processes."""

    def __init__(self, config: TrainingConfig) -> None:
        data = dataclasses.replace(config.data, split="val")
        if data.dataset == "synthetic":
            data = dataclasses.replace(data, seed=_SCENES_SEED, frames=config.validation_images or 200, colors=False)
        self.images = open_samples(data)
        most = min(config.validation_images or len(self.images), len(self.images))
        self.numbers = np.linspace(0, len(self.images) - 1, most).round().astype(int).tolist()
        self._zero_shot = config.zero_shot

    def warn_of_overlap(self, images: Any) -> None:
        """Log where the val split is the training set: a folder without folders train and val."""
        if images.name(0) == self.images.name(0):
            _LOG.warning("%s: there is no val split, validation shows images that are trained on", images.name(0))

    def count_share(self, predictor: Predictor, process: int, processes: int) -> Task[Any]:
        """One process's share, counted; OSError or ValueError names a sample that cannot be scored."""
        task: Task[Any] = (EpisodeTask if self._zero_shot else ImageTask)(predictor, self.images)
        for number in self.numbers[process::processes]:
            sample = self.images[number]
            try:
                task.add(sample)
            except ValueError as error:
                raise ValueError(f"{self.images.name(number)}: {error}") from error
        return task

    def pictures(self, predictor: Predictor, count: int) -> Iterator[NDArray[np.uint8]]:
        """Image, truth and answer of the first ``count`` samples."""
        for number in self.numbers[:count]:
            sample = self.images[number]
            words = (OTHERS, self.images.classes[sample.class_index]) if self._zero_shot else self.images.classes
            answer = predictor.predict(sample.image, predictor.encode_labels(words)).numpy()
            yield draw_sample(sample.image, sample.target, answer, words)


def draw_sample(
    image: NDArray[np.uint8], target: NDArray[np.int16], answer: NDArray[np.int16], classes: Sequence[str]
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, (H, W) class indices or IGNORE, twice -> one picture of three panels with legends.

    A class has one color in both. Only classes in view get one: a data set may have more than a mask has ids.
    """
    names = [entry.partition("|")[0].strip() for entry in classes]
    seen, counts = np.unique(np.concatenate([each[each != IGNORE] for each in (target, answer)]), return_counts=True)
    largest = seen[np.argsort(-counts, kind="stable")]
    shown = list({names[index].casefold(): names[index] for index in largest}.values())[:MAX_ID]
    if not shown:
        return side_by_side({"image": image})
    vocabulary = Vocabulary.of(shown)
    ids = {label.name.casefold(): label.id for label in vocabulary.labels}
    id_of = np.array([*(ids.get(name.casefold(), 0) for name in names), 0], np.uint8)  # IGNORE, -1, takes the last
    panels = {"image": image}
    for title, indices in (("truth", target), ("answer", answer)):
        confidence = np.full(indices.shape, 255, np.uint8)
        panels[title] = overlay(image, Segmentation(id_of[indices], confidence, vocabulary))
    return side_by_side(panels)
