"""mIoU, pixel accuracy and per-class IoU, counted over a whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from lseg_ros.datasets import IGNORE

__all__ = ["Confusion", "Scores"]


@dataclass(frozen=True)
class Scores:
    """All as fractions of one.

    miou: mean IoU over the classes that the set contains. pixel_accuracy: share of labelled pixels that are right.
    per_class: IoU by class name, None where the set has no pixel of the class; what is wrongly taken for such a class
    counts against the class that it is.
    """

    miou: float
    pixel_accuracy: float
    per_class: dict[str, float | None]

    def table(self) -> str:
        """For people: classes from best to worst, then the means."""
        seen = {name: iou for name, iou in self.per_class.items() if iou is not None}
        rows = [f"{name:<20} {iou:6.3f}" for name, iou in sorted(seen.items(), key=lambda item: -item[1])]
        return "\n".join(
            [*rows, f"{'mean IoU':<20} {self.miou:6.3f}", f"{'pixel accuracy':<20} {self.pixel_accuracy:6.3f}"]
        )


class Confusion:
    """Counts of (target, prediction) pairs over images of one label set."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._metric = MulticlassConfusionMatrix(len(self.classes), ignore_index=IGNORE, validate_args=False)

    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Count one image or batch: integer tensors of one shape; targets of IGNORE do not count."""
        if prediction.shape != target.shape:
            raise ValueError(
                f"prediction: expected the target's shape {tuple(target.shape)}, got {tuple(prediction.shape)}"
            )
        self._metric.update(prediction.long(), target.long())

    def scores(self) -> Scores:
        """The scores of everything counted so far; ValueError where that is nothing."""
        counts = self._metric.compute().double()  # rows: target, columns: prediction; summed over processes
        if not counts.sum():
            raise ValueError("scores: expected at least one labelled pixel, got none")
        hits = counts.diagonal()
        union = counts.sum(0) + counts.sum(1) - hits
        iou = torch.where(counts.sum(1) > 0, hits / union.clamp(min=1), torch.nan)
        return Scores(
            miou=float(iou.nanmean()),
            pixel_accuracy=float(hits.sum() / counts.sum()),
            per_class={name: None if each.isnan() else float(each) for name, each in zip(self.classes, iou)},
        )
