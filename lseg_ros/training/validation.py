"""Validation during training: scores as in ``lseg evaluate``, and pictures."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets import IGNORE, ZERO_SHOT, DatasetConfig, open_dataset, open_episodes, spaced_indices
from lseg_ros.datasets.mix import Mix
from lseg_ros.datasets.mixed_images import open_mix_validation
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
    """The val splits of one or several data sets, or parts of them, which the processes share.

    Args:
        config: Settings of the run.
        mix: The data sets of ``config.mix``, None for the single set of ``config.data``.

    Attributes:
        sets: The val splits by the names of their sets; a single set has the name "".
        indices: Indices of the images to score, by the names of the sets.
    """

    def __init__(self, config: TrainingConfig, mix: Mix | None = None) -> None:
        self.sets = _open_val_splits(config, mix)
        self.indices = {
            name: spaced_indices(len(images), config.validation_images) for name, images in self.sets.items()
        }
        self._zero_shot = config.zero_shot

    def warn_of_overlap(self, images: Any) -> None:
        """Log a warning if the val split is the training set.

        This is the case for a folder without train and val folders.
        """
        if "" in self.sets and images.name(0) == self.sets[""].name(0):
            _LOG.warning("%s: no val split found, the validation uses training images", images.name(0))

    def count_share(self, predictor: Predictor, process: int, processes: int) -> dict[str, Task[Any]]:
        """Count the predictions for the images of one process.

        Args:
            predictor: The network to score.
            process: Rank of the process.
            processes: Number of processes.

        Returns:
            The counts by the names of the sets.

        Raises:
            OSError: A sample cannot be read; the message names the file.
            ValueError: A sample cannot be scored; the message names the sample.
        """
        return {name: self._count(name, predictor, process, processes) for name in self.sets}

    @staticmethod
    def scores(tasks: Mapping[str, Task[Any]]) -> dict[str, float]:
        """Compute the scores over the images of all processes. Every process must call this.

        Returns:
            Scores by name. For several sets these are the means over the sets, followed by those of each set, such as
            ``miou`` and ``miou/streets``.
        """
        by_set = {name: dataclasses.asdict(task.result().scores) for name, task in tasks.items()}
        totals = {score: value for score, value in next(iter(by_set.values())).items() if isinstance(value, float)}
        if "" in by_set:
            return totals
        means = {score: float(np.nanmean([scores[score] for scores in by_set.values()])) for score in totals}
        parts = {f"{score}/{name}": scores[score] for name, scores in by_set.items() for score in totals}
        return {**means, **parts}

    def pictures(self, predictor: Predictor, count: int) -> Iterator[NDArray[np.uint8]]:
        """Draw image, ground truth and prediction of ``count`` images.

        The images are the first ones of the sets in turn.
        """
        pairs = [[(images, index) for index in self.indices[name]] for name, images in self.sets.items()]
        in_turn = (pair for row in itertools.zip_longest(*pairs) for pair in row if pair is not None)
        for images, index in itertools.islice(in_turn, count):
            sample = images[index]
            classes = (OTHERS, images.classes[sample.class_index]) if self._zero_shot else images.classes
            prediction = predictor.predict(sample.image, predictor.encode_labels(classes)).numpy()
            yield draw_sample(sample.image, sample.target, prediction, classes)

    def _count(self, name: str, predictor: Predictor, process: int, processes: int) -> Task[Any]:
        """Count the predictions for the images of one set."""
        images = self.sets[name]
        task: Task[Any] = (EpisodeTask if self._zero_shot else ImageTask)(predictor, images)
        for index in self.indices[name][process::processes]:
            sample = images[index]
            try:
                task.add(sample)
            except ValueError as error:
                raise ValueError(f"{images.name(index)}: {error}") from error
        return task


def _open_val_splits(config: TrainingConfig, mix: Mix | None) -> dict[str, Any]:
    frames = config.validation_images or 200
    if mix is not None:
        return dict(open_mix_validation(mix, _SCENES_SEED, frames))
    data = dataclasses.replace(config.data, split="val")
    if data.dataset == "synthetic":
        data = dataclasses.replace(data, seed=_SCENES_SEED, frames=frames, colors=False)
    return {"": open_samples(data)}


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
