"""Accuracy, rate and latency of the masks of one label set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lseg_ros.metrics import confusion_counts, iou_per_class
from lseg_ros.vocabulary import Vocabulary

__all__ = ["SegmentationMetrics"]

_MIN_SHARE = 0.002  # a label with a smaller share of the scored pixels gets no IoU


@dataclass
class SegmentationMetrics:
    """Counts over the frames that were segmented with one vocabulary.

    Only pixels whose true class is one of the labels are scored, because the other pixels have no right answer.

    Attributes:
        vocabulary: The labels of the masks; each label name is a class name.
        class_ids: Ground-truth label id by class name.
        latencies_ms: Latency of each frame, from the stamp of the image to the arrival of the mask.
        arrivals_s: Monotonic time at which each mask arrived.
    """

    vocabulary: Vocabulary
    class_ids: Mapping[str, int]
    latencies_ms: list[float] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the tables that map label ids to rows and columns of the counts.

        The last row and column are for other ids.
        """
        size = len(self.vocabulary) + 1
        self._counts = np.zeros((size, size), np.int64)  # [target, prediction]
        self._predicted_index = np.full(256, size - 1, np.intp)
        self._target_index = np.full(256, size - 1, np.intp)
        for index, label in enumerate(self.vocabulary.labels):
            self._predicted_index[label.id] = index
            self._target_index[self.class_ids[label.name]] = index

    def add(
        self, mask: NDArray[np.uint8], truth: NDArray[np.uint8] | None, arrived_s: float, latency_ms: float
    ) -> None:
        """Count one frame.

        Args:
            mask: (H, W) label ids.
            truth: (H, W) ground-truth ids, or None if the ground truth of this frame is unknown.
            arrived_s: Monotonic time at which the mask arrived.
            latency_ms: Time from the stamp of the image to the arrival of the mask.
        """
        self.arrivals_s.append(arrived_s)
        self.latencies_ms.append(latency_ms)
        if truth is not None:
            self._counts += confusion_counts(self._target_index[truth], self._predicted_index[mask], len(self._counts))

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.arrivals_s)

    @property
    def rate_hz(self) -> float:
        """Mean rate of the masks; 0 if there are fewer than two."""
        span_s = self.arrivals_s[-1] - self.arrivals_s[0] if self.frames > 1 else 0.0
        return (self.frames - 1) / span_s if span_s > 0 else 0.0

    def iou(self) -> dict[str, float]:
        """IoU from 0 to 1 by label name, for the labels in view."""
        counts = self._counts[:-1]  # without the pixels of other classes
        pixels = counts.sum(axis=1)
        scores = iou_per_class(counts)
        in_view = np.flatnonzero(pixels > _MIN_SHARE * pixels.sum())
        return {self.vocabulary.names[index]: float(scores[index]) for index in in_view}

    def mean_iou(self) -> float:
        """Mean IoU of the labels in view; NaN if there are none."""
        scores = list(self.iou().values())
        return float(np.mean(scores)) if scores else float("nan")

    def latency_ms(self, percent: float) -> float:
        """Percentile of the latency; NaN without frames."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else float("nan")
