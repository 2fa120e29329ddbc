"""How good and how quick the masks of one label set were, against exact labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lseg_ros.vocabulary import Vocabulary

__all__ = ["SegmentationMetrics"]

_SHARE_IN_VIEW = 0.002  # of the pixels: a label seen less is not scored


@dataclass
class SegmentationMetrics:
    """Counts over the frames that were made with one vocabulary.

    class_ids: exact label id by class name. Only pixels whose exact class is one of the labels are scored: what the
    others should be called nobody was asked.
    """

    vocabulary: Vocabulary
    class_ids: Mapping[str, int]
    latencies_ms: list[float] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._counts = np.zeros((len(self.vocabulary) + 1, len(self.vocabulary) + 1), np.int64)  # [exact, mask]
        self._from_id = np.zeros(256, np.intp)  # label id -> 1 + its place in the vocabulary, 0 where it is none
        self._from_class = np.zeros(256, np.intp)
        for place, label in enumerate(self.vocabulary.labels, start=1):
            self._from_id[label.id] = place
            self._from_class[self.class_ids[label.name]] = place

    def add(
        self, mask: NDArray[np.uint8], exact: NDArray[np.uint8] | None, arrived_s: float, latency_ms: float
    ) -> None:
        """One frame: mask (H, W) of label ids, exact (H, W) of class ids or None where it is not known."""
        self.arrivals_s.append(arrived_s)
        self.latencies_ms.append(latency_ms)
        if exact is not None:
            size = len(self._counts)
            pairs = self._from_class[exact] * size + self._from_id[mask]
            self._counts += np.bincount(pairs.reshape(-1), minlength=size * size).reshape(size, size)

    @property
    def frames(self) -> int:
        return len(self.arrivals_s)

    @property
    def rate_hz(self) -> float:
        span_s = self.arrivals_s[-1] - self.arrivals_s[0] if self.frames > 1 else 0.0
        return (self.frames - 1) / span_s if span_s > 0 else 0.0

    def iou(self) -> dict[str, float]:
        """By label in view; 0 to 1."""
        counts = self._counts[1:]  # rows: only pixels of the labels asked for
        total = counts.sum()
        hits = np.diagonal(counts, offset=1)
        union = counts.sum(axis=1) + counts[:, 1:].sum(axis=0) - hits
        seen = counts.sum(axis=1) > _SHARE_IN_VIEW * total
        names = self.vocabulary.names
        return {names[place]: float(hits[place] / union[place]) for place in np.flatnonzero(seen)}

    def mean_iou(self) -> float:
        """Over the labels in view; NaN where there was none."""
        scores = list(self.iou().values())
        return float(np.mean(scores)) if scores else float("nan")

    def latency_ms(self, percent: float) -> float:
        """Between the image's stamp and the mask's arrival."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else float("nan")
