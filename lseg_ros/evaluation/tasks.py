"""Evaluation tasks: images with all classes of a data set, and zero-shot episodes."""

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

__all__ = ["OTHERS", "EpisodeTask", "Evaluation", "ImageTask", "Samples", "Task"]

OTHERS = "others"  # the authors' word for everything but the class of an episode

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        scores: Scores of the network.
        samples: Number of images or episodes.
    """

    scores: Scores | EpisodeScores
    samples: int

    def table(self) -> str:
        """Return the table of the scores."""
        return self.scores.table()


class Samples(Protocol[S_co]):
    """Common interface of labeled images and zero-shot episodes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> S_co: ...

    def name(self, index: int) -> str:
        """Return the name of a sample for errors and logs."""
        ...


class Task(Protocol[S]):
    """Predicts the samples of a data set one by one and counts right and wrong pixels.

    ``result`` and ``draw_confusion`` sum over all processes, and every process must call them.
    """

    @property
    def samples(self) -> Samples[S]:
        """The data set."""
        ...

    @property
    def counts(self) -> dict[str, Tensor]:
        """Counts of this process by name; ``add`` adds to these tensors."""
        ...

    def add(self, sample: S) -> None:
        """Predict and count one sample; ValueError if it is invalid."""
        ...

    def running_miou(self) -> float:
        """Return the mIoU of this process's counts."""
        ...

    def result(self) -> Evaluation:
        """Return the scores; ValueError if no labeled pixel was counted."""
        ...

    def draw_confusion(self) -> NDArray[np.uint8]:
        """Draw the confusion matrix, (H, W, 3) uint8 RGB."""
        ...


class ImageTask:
    """Predicts each image with all classes of its data set. Implements ``Task``."""

    def __init__(self, predictor: Predictor, images: LabeledImages) -> None:
        self.samples = images
        self._predictor = predictor
        self._labels = predictor.encode_labels(images.classes)
        self._confusion = Confusion(images.classes)

    @property
    def counts(self) -> dict[str, Tensor]:
        """Counts of this process; see ``Confusion``."""
        return {"model": self._confusion.counts}

    def add(self, sample: Sample) -> None:
        """Predict and count one image.

        Raises:
            ValueError: If the image is too small, or the target has another size.
        """
        self._confusion.add(self._predictor.predict(sample.image, self._labels), torch.from_numpy(sample.target))

    def running_miou(self) -> float:
        """Return the mIoU of this process's counts."""
        return self._confusion.running_miou()

    def result(self) -> Evaluation:
        """Return the scores; ValueError if no labeled pixel was counted."""
        return Evaluation(self._confusion.scores(), len(self.samples))

    def draw_confusion(self) -> NDArray[np.uint8]:
        """Draw the confusion matrix with each class named by its first synonym."""
        counts = sum_over_processes(self._confusion.counts).numpy()[:, :-1]  # every pixel has a prediction
        names = [name.partition("|")[0] for name in self.samples.classes]
        return confusion_picture(counts, names, names)


class EpisodeTask:
    """Predicts each episode with two labels, its class and ``others``. Implements ``Task``."""

    def __init__(self, predictor: Predictor, episodes: Episodes) -> None:
        self.samples = episodes
        self._predictor = predictor
        self._confusion = EpisodeConfusion(episodes.classes)
        self._labels = functools.lru_cache(maxsize=None)(self._encode_labels)

    @property
    def counts(self) -> dict[str, Tensor]:
        """Counts of this process; see ``EpisodeConfusion``."""
        return {"model": self._confusion.counts}

    def add(self, sample: Episode) -> None:
        """Predict and count one episode.

        Raises:
            ValueError: If the target has another size than the image.
        """
        prediction = self._predictor.predict(sample.image, self._labels(sample.class_index))
        self._confusion.add(prediction, torch.from_numpy(sample.target), sample.class_index)

    def running_miou(self) -> float:
        """Return the mIoU of this process's counts."""
        return self._confusion.running_miou()

    def result(self) -> Evaluation:
        """Return the scores; ValueError if no labeled pixel was counted."""
        return Evaluation(self._confusion.scores(), len(self.samples))

    def draw_confusion(self) -> NDArray[np.uint8]:
        """Draw the confusion matrix with the columns ``others`` and ``class``.

        There is one row for the pixels of each class, and one for all other pixels.
        """
        counts = self._confusion.per_class_counts(sum_over_processes(self._confusion.counts)).numpy()  # (K, 2, 2)
        rows = np.concatenate([counts[:, 1], counts[:, 0].sum(axis=0, keepdims=True)])
        return confusion_picture(rows, [*self.samples.classes, OTHERS], [OTHERS, "class"])

    def _encode_labels(self, class_index: int) -> EncodedLabels:
        return self._predictor.encode_labels((OTHERS, self.samples.classes[class_index]))
