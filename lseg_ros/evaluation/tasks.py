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
from lseg_ros.evaluation.predictor import Predictor, Question
from lseg_ros.evaluation.scores import Confusion, EpisodeConfusion, EpisodeScores, Scores

__all__ = ["EpisodeTask", "Evaluation", "ImageTask", "Samples", "Task"]

OTHERS = "others"  # the authors' word for whatever an episode does not ask for

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model over so many samples."""

    model: Scores | EpisodeScores
    samples: int

    def table(self) -> str:
        return self.model.table()


class Samples(Protocol[S_co]):
    """What sets of images and of episodes have in common."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> S_co: ...

    def name(self, index: int) -> str: ...


class Task(Protocol[S]):
    """Samples, and what becomes of one after the other.

    counts: this process's counts by name, added to with each sample. ``evaluation`` and ``picture`` are about the
    samples of all processes, and every process must ask for them.
    """

    @property
    def samples(self) -> Samples[S]: ...

    @property
    def counts(self) -> dict[str, Tensor]: ...

    def count(self, sample: S) -> None: ...

    def running_miou(self) -> float: ...

    def evaluation(self) -> Evaluation: ...

    def picture(self) -> NDArray[np.uint8]: ...


class ImageTask:
    """Every image is asked with all words of its set."""

    def __init__(self, predictor: Predictor, images: LabeledImages) -> None:
        self.samples = images
        self._classifier = predictor
        self._question = predictor.question(images.classes)
        self._model = Confusion(images.classes)

    @property
    def counts(self) -> dict[str, Tensor]:
        return {"model": self._model.counts}

    def count(self, sample: Sample) -> None:
        """Raises ValueError where the image is too small for a network or its target does not fit it."""
        self._model.add(self._classifier.classify(sample.image, self._question), torch.from_numpy(sample.target))

    def running_miou(self) -> float:
        return self._model.running_miou()

    def evaluation(self) -> Evaluation:
        return Evaluation(self._model.scores(), len(self.samples))

    def picture(self) -> NDArray[np.uint8]:
        counts = sum_over_processes(self._model.counts).numpy()[:, :-1]  # a data set's pixels are all answered
        names = [word.partition("|")[0] for word in self.samples.classes]
        return confusion_picture(counts, names, names)


class EpisodeTask:
    """Each episode is asked with two words, its class and ``others``."""

    def __init__(self, predictor: Predictor, episodes: Episodes) -> None:
        self.samples = episodes
        self._classifier = predictor
        self._model = EpisodeConfusion(episodes.classes)
        self._question = functools.lru_cache(maxsize=None)(self._encoded)

    @property
    def counts(self) -> dict[str, Tensor]:
        return {"model": self._model.counts}

    def count(self, sample: Episode) -> None:
        """Raises ValueError where the target does not fit the image."""
        answer = self._classifier.classify(sample.image, self._question(sample.class_index))
        self._model.add(answer, torch.from_numpy(sample.target), sample.class_index)

    def running_miou(self) -> float:
        return self._model.running_miou()

    def evaluation(self) -> Evaluation:
        return Evaluation(self._model.scores(), len(self.samples))

    def picture(self) -> NDArray[np.uint8]:
        """A row for each class, its pixels found or not, and one for the pixels of anything else."""
        counts = self._model.by_class(sum_over_processes(self._model.counts)).numpy()  # (K, 2, 2)
        rows = np.concatenate([counts[:, 1], counts[:, 0].sum(axis=0, keepdims=True)])
        return confusion_picture(rows, [*self.samples.classes, OTHERS], [OTHERS, "asked for"])

    def _encoded(self, class_index: int) -> Question:
        return self._classifier.question((OTHERS, self.samples.classes[class_index]))
