"""What is asked about each sample of a data set, and how the answers are counted."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.datasets import Episode, Episodes, LabeledImages, Sample
from lseg_ros.evaluation.confusion_picture import confusion_picture
from lseg_ros.evaluation.distributed import sum_over_processes
from lseg_ros.evaluation.predictor import EncodedLabels, Predictor
from lseg_ros.evaluation.scores import Confusion, EpisodeConfusion, EpisodeScores, Scores

__all__ = ["EpisodeTask", "Evaluation", "ImageTask", "Samples", "Task"]

OTHERS = "others"  # the authors' word for whatever an episode does not ask for

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model over so many samples."""

    scores: Scores | EpisodeScores
    samples: int

    def table(self) -> str:
        return self.scores.table()


class Samples(Protocol[S_co]):
    """What sets of images and of episodes have in common."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> S_co: ...

    def name(self, index: int) -> str: ...


class Task(Protocol[S]):
    """Samples, and what becomes of one after the other.

    counts: this process's counts by name, added to with each sample. ``result`` and ``picture`` are about the
    samples of all processes, and every process must ask for them.
    """

    @property
    def samples(self) -> Samples[S]: ...

    @property
    def counts(self) -> dict[str, Tensor]: ...

    def add(self, sample: S) -> None: ...

    def running_miou(self) -> float: ...

    def result(self) -> Evaluation: ...

    def draw_confusion(self) -> NDArray[np.uint8]: ...


class ImageTask:
    """Every image is asked with all words of its set."""

    def __init__(self, predictor: Predictor, images: LabeledImages) -> None:
        self.samples = images
        self._predictor = predictor
        self._labels = predictor.encode_labels(images.classes)
        self._confusion = Confusion(images.classes)

    @property
    def counts(self) -> dict[str, Tensor]:
        return {"model": self._confusion.counts}

    def add(self, sample: Sample) -> None:
        """Raises ValueError where the image is too small for a network or its target does not fit it."""
        self._confusion.add(self._predictor.predict(sample.image, self._labels), torch.from_numpy(sample.target))

    def running_miou(self) -> float:
        return self._confusion.running_miou()

    def result(self) -> Evaluation:
        return Evaluation(self._confusion.scores(), len(self.samples))

    def draw_confusion(self) -> NDArray[np.uint8]:
        counts = sum_over_processes(self._confusion.counts).numpy()[:, :-1]  # a data set's pixels are all answered
        names = [word.partition("|")[0] for word in self.samples.classes]
        return confusion_picture(counts, names, names)


class EpisodeTask:
    """Each episode is asked with two words, its class and ``others``."""

    def __init__(self, predictor: Predictor, episodes: Episodes) -> None:
        self.samples = episodes
        self._predictor = predictor
        self._confusion = EpisodeConfusion(episodes.classes)
        self._labels = functools.lru_cache(maxsize=None)(self._encode_labels)

    @property
    def counts(self) -> dict[str, Tensor]:
        return {"model": self._confusion.counts}

    def add(self, sample: Episode) -> None:
        """Raises ValueError where the target does not fit the image."""
        prediction = self._predictor.predict(sample.image, self._labels(sample.class_index))
        self._confusion.add(prediction, torch.from_numpy(sample.target), sample.class_index)

    def running_miou(self) -> float:
        return self._confusion.running_miou()

    def result(self) -> Evaluation:
        return Evaluation(self._confusion.scores(), len(self.samples))

    def draw_confusion(self) -> NDArray[np.uint8]:
        """A row for each class, its pixels found or not, and one for the pixels of anything else."""
        counts = self._confusion.per_class_counts(sum_over_processes(self._confusion.counts)).numpy()  # (K, 2, 2)
        rows = np.concatenate([counts[:, 1], counts[:, 0].sum(axis=0, keepdims=True)])
        return confusion_picture(rows, [*self.samples.classes, OTHERS], [OTHERS, "asked for"])

    def _encode_labels(self, class_index: int) -> EncodedLabels:
        return self._predictor.encode_labels((OTHERS, self.samples.classes[class_index]))
