"""mIoU, pixel accuracy, per-class IoU and FB-IoU, counted over a whole set."""

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
    """All as fractions of one.

    miou: mean IoU over the classes that the set contains. pixel_accuracy: share of labeled pixels that are right.
    per_class: IoU by class name, None where the set has no pixel of the class; what is wrongly taken for such a class
    counts against the class that it is.
    """

    miou: float
    pixel_accuracy: float
    per_class: dict[str, float | None]

    @classmethod
    def from_counts(cls, counts: Tensor, classes: Sequence[str]) -> Scores:
        """From the (K, K + 1) counts of a Confusion; ValueError where nothing was counted."""
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
        """For people: classes from best to worst, then the means."""
        return _table(self.per_class, {"mean IoU": self.miou, "pixel accuracy": self.pixel_accuracy})


@dataclass(frozen=True)
class EpisodeScores:
    """Scores of a zero-shot test, as fractions of one.

    miou: mean over the classes of the IoU of their pixels, each class counted over all of its episodes. fb_iou: mean
    of the IoU of what was asked for and of what was not, counted over all episodes. per_class: IoU by class name, None
    where the test never asks for the class or its pixels are neither there nor found.
    """

    miou: float
    fb_iou: float
    per_class: dict[str, float | None]

    @classmethod
    def from_counts(cls, counts: Tensor, classes: Sequence[str]) -> EpisodeScores:
        """From (K, 2, 2) counts: class asked for, target, prediction; ValueError where nothing was counted."""
        counts = counts.double()
        if not counts.sum():
            raise ValueError("scores: expected at least one labeled pixel, got none")
        union = counts[:, 1].sum(1) + counts[:, 0, 1]  # union of target and prediction of each class
        iou = torch.where(union > 0, counts[:, 1, 1] / union.clamp(min=1), torch.nan)
        return cls(
            miou=float(iou.nanmean()), fb_iou=float(_iou(counts.sum(0)).mean()), per_class=_iou_by_name(classes, iou)
        )

    def table(self) -> str:
        """For people: classes from best to worst, then the means."""
        return _table(self.per_class, {"mean IoU": self.miou, "FB-IoU": self.fb_iou})


class Confusion:
    """Counts of (target, prediction) pairs over images of one label set.

    counts: (K, K + 1) int64 on the CPU, of this process alone; rows the target, columns the prediction, the last one
    that of pixels left without an answer.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.counts = torch.zeros(len(self.classes), len(self.classes) + 1, dtype=torch.int64)

    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Count one image or batch: class indices of one shape, or -1.

        A target of IGNORE, which is -1, does not count; a prediction of -1 is a pixel without an answer and a miss.
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
        # (1, N): of a target of shape (N,) torchmetrics would take the prediction for scores
        predicted, target = (each.reshape(1, -1).long() for each in (predicted, target))
        pairs = multiclass_confusion_matrix(
            predicted, target, num_classes=classes + 1, ignore_index=IGNORE, validate_args=False
        )
        self.counts += pairs[:classes].cpu()

    def scores(self) -> Scores:
        """The scores of everything counted so far, by all processes; ValueError where that is nothing."""
        return Scores.from_counts(sum_over_processes(self.counts), self.classes)

    def running_miou(self) -> float:
        """mIoU of what this process has counted; NaN where that is nothing."""
        return Scores.from_counts(self.counts, self.classes).miou if self.counts.any() else torch.nan


class EpisodeConfusion:
    """Counts over the episodes of a zero-shot test, whose answers are 1 for the class asked for and 0 for others.

    counts: (2 K, 2 K + 1) int64, block by block along the diagonal those of each class; of this process alone.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._pairs = Confusion([f"{answer} {name}" for name in self.classes for answer in ("not", "is")])

    @property
    def counts(self) -> Tensor:
        return self._pairs.counts

    def add(self, prediction: Tensor, target: Tensor, class_index: int) -> None:
        """Count one episode: (H, W) of 0 and 1, in the target also IGNORE, which does not count."""
        first = 2 * class_index
        self._pairs.add(prediction + first, torch.where(target == IGNORE, IGNORE, target + first))

    def scores(self) -> EpisodeScores:
        """The scores of everything counted so far, by all processes; ValueError where that is nothing."""
        return EpisodeScores.from_counts(self.per_class_counts(sum_over_processes(self.counts)), self.classes)

    def running_miou(self) -> float:
        """mIoU of what this process has counted; NaN where that is nothing."""
        return (
            EpisodeScores.from_counts(self.per_class_counts(self.counts), self.classes).miou
            if self.counts.any()
            else torch.nan
        )

    def per_class_counts(self, counts: Tensor) -> Tensor:
        """(2 K, 2 K + 1) -> (K, 2, 2), the blocks along the diagonal."""
        blocks = counts[:, :-1].view(len(self.classes), 2, len(self.classes), 2)
        return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _iou(counts: Tensor) -> Tensor:
    """Counts (K, K) or with a column more -> (K,) IoU, 0 where a class is neither there nor found."""
    return torch.from_numpy(iou_per_class(counts.numpy()))


def _iou_by_name(classes: Sequence[str], iou: Tensor) -> dict[str, float | None]:
    """IoU by class name; of classes that read the same each has its number behind its name."""
    named = Counter(classes)
    keys = [name if named[name] == 1 else f"{name} ({index})" for index, name in enumerate(classes)]
    return {key: None if each.isnan() else float(each) for key, each in zip(keys, iou)}


def _table(per_class: Mapping[str, float | None], means: Mapping[str, float]) -> str:
    seen = {name: iou for name, iou in per_class.items() if iou is not None}
    rows = [*sorted(seen.items(), key=lambda item: -item[1]), *means.items()]
    return "\n".join(f"{name:<20} {value:6.3f}" for name, value in rows)
