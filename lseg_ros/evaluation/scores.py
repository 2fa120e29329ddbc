"""Scores over a data set: mIoU, pixel accuracy, IoU of each class and FB-IoU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from lseg_ros.datasets import IGNORE
from lseg_ros.evaluation.distributed import sum_over_processes
from lseg_ros.metrics import iou_per_class

__all__ = ["Confusion", "EpisodeConfusion", "EpisodeScores", "Scores"]


@dataclass(frozen=True)
class Scores:
    """Scores of a labeled data set, all from 0 to 1.

    Attributes:
        miou: Mean IoU over the classes that the data set contains.
        pixel_accuracy: Share of the labeled pixels with the right class.
        per_class: IoU by class name. None for a class without pixels in the data set; a pixel wrongly predicted as such
            a class is an error of the pixel's own class.
    """

    miou: float
    pixel_accuracy: float
    per_class: dict[str, float | None]

    @classmethod
    def from_counts(cls, counts: Tensor, classes: Sequence[str]) -> Scores:
        """Compute the scores from the (K, K + 1) counts of a ``Confusion``.

        Raises:
            ValueError: If all counts are zero.
        """
        counts = counts.double()
        if not counts.sum():
            raise ValueError("scores: expected at least one labeled pixel, got none")
        iou = torch.where(counts.sum(1) > 0, _iou(counts), torch.nan)
        return cls(
            miou=float(iou.nanmean()),
            pixel_accuracy=float(counts.diagonal().sum() / counts.sum()),
            per_class=_iou_by_name(classes, iou),
        )

    def table(self) -> str:
        """Return a table with the classes from best to worst, then the means."""
        return _table(self.per_class, {"mean IoU": self.miou, "pixel accuracy": self.pixel_accuracy})


@dataclass(frozen=True)
class EpisodeScores:
    """Scores of a zero-shot test, all from 0 to 1.

    Attributes:
        miou: Mean over the classes of the IoU of their pixels, each class counted over all of its episodes.
        fb_iou: Mean of the foreground IoU and the background IoU, each counted over all episodes.
        per_class: IoU by class name. None for a class without episodes, or with pixels neither in the targets nor in
            the predictions.
    """

    miou: float
    fb_iou: float
    per_class: dict[str, float | None]

    @classmethod
    def from_counts(cls, counts: Tensor, classes: Sequence[str]) -> EpisodeScores:
        """Compute the scores from (K, 2, 2) counts: class of the episode, target, prediction.

        Raises:
            ValueError: If all counts are zero.
        """
        counts = counts.double()
        if not counts.sum():
            raise ValueError("scores: expected at least one labeled pixel, got none")
        union = counts[:, 1].sum(1) + counts[:, 0, 1]  # (K,)
        iou = torch.where(union > 0, counts[:, 1, 1] / union.clamp(min=1), torch.nan)
        fb_iou = float(_iou(counts.sum(0)).mean())
        return cls(miou=float(iou.nanmean()), fb_iou=fb_iou, per_class=_iou_by_name(classes, iou))

    def table(self) -> str:
        """Return a table with the classes from best to worst, then the means."""
        return _table(self.per_class, {"mean IoU": self.miou, "FB-IoU": self.fb_iou})


class Confusion:
    """Confusion matrix over the images of one label set.

    Attributes:
        classes: Names of the K classes.
        counts: (K, K + 1) int64 on the CPU, pixels that this process counted. Rows are the target class, columns the
            predicted class; the last column is for pixels without a prediction.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.counts = torch.zeros(len(self.classes), len(self.classes) + 1, dtype=torch.int64)

    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Count the pixels of an image or batch.

        Args:
            prediction: Class indices; -1 is a pixel without a prediction, which is an error.
            target: Class indices of the same shape; IGNORE (-1) is a pixel that does not count.

        Raises:
            ValueError: If the shapes differ or an index is out of range.
        """
        if prediction.shape != target.shape:
            raise ValueError(
                f"prediction: expected the target's shape {tuple(target.shape)}, got {tuple(prediction.shape)}"
            )
        classes = len(self.classes)
        for name, indices in (("prediction", prediction), ("target", target)):
            if indices.numel() and not (indices.min() >= -1 and indices.max() < classes):
                wrong = int(indices.max()) if indices.max() >= classes else int(indices.min())
                raise ValueError(f"{name}: expected indices of {classes} classes or -1, got {wrong}")
        predicted = torch.where(prediction < 0, classes, prediction)
        counts = multiclass_confusion_matrix(
            predicted.reshape(1, -1).long(),  # torchmetrics would read a prediction of shape (N,) as scores
            target.reshape(1, -1).long(),
            num_classes=classes + 1,
            ignore_index=IGNORE,
            validate_args=False,
        )
        self.counts += counts[:classes].cpu()

    def scores(self) -> Scores:
        """Compute the scores of all processes' counts. Every process must call this method.

        Raises:
            ValueError: If no labeled pixel was counted.
        """
        return Scores.from_counts(sum_over_processes(self.counts), self.classes)

    def running_miou(self) -> float:
        """Return the mIoU of this process's counts; NaN before the first labeled pixel."""
        return Scores.from_counts(self.counts, self.classes).miou if self.counts.any() else torch.nan


class EpisodeConfusion:
    """Confusion counts of a zero-shot test.

    Predictions are 1 for the class of the episode and 0 otherwise.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._pairs = Confusion([f"{prefix} {name}" for name in self.classes for prefix in ("not", "is")])

    @property
    def counts(self) -> Tensor:
        """(2 K, 2 K + 1) int64 of this process: one 2 x 2 block on the diagonal for each class."""
        return self._pairs.counts

    def add(self, prediction: Tensor, target: Tensor, class_index: int) -> None:
        """Count the pixels of one episode: (H, W) of 0 and 1; IGNORE in the target does not count."""
        first = 2 * class_index
        self._pairs.add(prediction + first, torch.where(target == IGNORE, IGNORE, target + first))

    def scores(self) -> EpisodeScores:
        """Compute the scores of all processes' counts. Every process must call this method.

        Raises:
            ValueError: If no labeled pixel was counted.
        """
        return EpisodeScores.from_counts(self.per_class_counts(sum_over_processes(self.counts)), self.classes)

    def running_miou(self) -> float:
        """Return the mIoU of this process's counts; NaN before the first labeled pixel."""
        if not self.counts.any():
            return torch.nan
        return EpisodeScores.from_counts(self.per_class_counts(self.counts), self.classes).miou

    def per_class_counts(self, counts: Tensor) -> Tensor:
        """Extract the blocks on the diagonal: (2 K, 2 K + 1) -> (K, 2, 2)."""
        blocks = counts[:, :-1].view(len(self.classes), 2, len(self.classes), 2)
        return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _iou(counts: Tensor) -> Tensor:
    return torch.from_numpy(iou_per_class(counts.numpy()))


def _iou_by_name(classes: Sequence[str], iou: Tensor) -> dict[str, float | None]:
    """Map class names to IoU, None for NaN. Classes with equal names get their index appended."""
    occurrences = Counter(classes)
    names = [name if occurrences[name] == 1 else f"{name} ({index})" for index, name in enumerate(classes)]
    return {name: None if value.isnan() else float(value) for name, value in zip(names, iou)}


def _table(per_class: Mapping[str, float | None], means: Mapping[str, float]) -> str:
    scored = {name: iou for name, iou in per_class.items() if iou is not None}
    rows = [*sorted(scored.items(), key=lambda item: -item[1]), *means.items()]
    return "\n".join(f"{name:<20} {value:6.3f}" for name, value in rows)
