"""The labels in view of a frame, with their sizes and distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Segmentation
from lseg_ros.vocabulary import UNLABELED, Label

__all__ = ["LabelSummary", "Summary", "summarize"]


@dataclass(frozen=True, eq=False)
class LabelSummary:
    """One label in view.

    Attributes:
        label: The label.
        pixels: Number of its pixels, at least 1.
        share: Its share of all pixels, 0 to 1.
        confidence: Mean confidence of its pixels, 0 to 1.
        points: Number of its pixels that have a point.
        nearest: (3,) float64 meters in the optical frame, the point nearest to the camera; NaN without points.
        centroid: (3,) float64 meters in the optical frame, the mean of the points; NaN without points.
    """

    label: Label
    pixels: int
    share: float
    confidence: float
    points: int
    nearest: NDArray[np.float64]
    centroid: NDArray[np.float64]

    @property
    def distance_m(self) -> float:
        """Distance from the camera to the nearest point, NaN without points."""
        return float(np.linalg.norm(self.nearest))


@dataclass(frozen=True)
class Summary:
    """The labels in view of one frame.

    Attributes:
        labels: The labels in view, in the order of the vocabulary.
        unlabeled_share: Share of the pixels without a label, 0 to 1.
        has_depth: Whether the frame has depth and intrinsics.
    """

    labels: tuple[LabelSummary, ...]
    unlabeled_share: float
    has_depth: bool


def summarize(segmentation: Segmentation, xyz: NDArray[np.float32] | None) -> Summary:
    """Summarize a segmentation.

    Args:
        segmentation: Segmentation of a frame.
        xyz: (H, W, 3) points of the frame, NaN where unknown; or None without depth.
    """
    label_map = segmentation.label_map.reshape(-1)
    pixels = np.bincount(label_map, minlength=256)
    confidence = np.bincount(label_map, segmentation.confidence.reshape(-1), minlength=256) / 255
    points = _point_statistics(label_map, xyz)
    labels = tuple(
        LabelSummary(
            label,
            pixels=int(pixels[label.id]),
            share=float(pixels[label.id] / label_map.size),
            confidence=float(confidence[label.id] / pixels[label.id]),
            points=int(points.count[label.id]),
            nearest=points.nearest[label.id],
            centroid=points.centroid[label.id],
        )
        for label in segmentation.vocabulary.labels
        if pixels[label.id]
    )
    return Summary(labels, float(pixels[UNLABELED] / label_map.size), xyz is not None)


@dataclass(frozen=True, eq=False)
class _PointStatistics:
    """Statistics of the points by id.

    Attributes:
        count: (256,) number of points.
        nearest: (256, 3) nearest point, NaN without points.
        centroid: (256, 3) mean point, NaN without points.
    """

    count: NDArray[np.intp]
    nearest: NDArray[np.float64]
    centroid: NDArray[np.float64]


def _point_statistics(label_map: NDArray[np.uint8], xyz: NDArray[np.float32] | None) -> _PointStatistics:
    count, nearest, centroid = np.zeros(256, np.intp), np.full((256, 3), np.nan), np.full((256, 3), np.nan)
    if xyz is None:
        return _PointStatistics(count, nearest, centroid)
    known = np.flatnonzero(np.isfinite(xyz[..., 2]))
    ids = label_map.take(known)
    count = np.bincount(ids, minlength=256)
    order = known.take(np.argsort(ids, kind="stable"))  # a radix sort for uint8
    points = xyz.reshape(-1, 3).take(order, axis=0)  # (N, 3), sorted by label
    present = np.flatnonzero(count)
    ends = np.cumsum(count)[present]
    firsts = ends - count[present]
    centroid[present] = np.add.reduceat(points, firsts, axis=0, dtype=np.float64) / count[present, None]
    x, y, z = points.T
    squared = x * x + y * y + z * z
    nearest[present] = points[[first + squared[first:end].argmin() for first, end in zip(firsts, ends)]]
    return _PointStatistics(count, nearest, centroid)
