"""Segmentation metrics that need neither torch nor ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion_counts", "iou_per_class"]


def confusion_counts(target: NDArray[np.integer], prediction: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count the pixels of each pair of target and predicted class.

    Args:
        target: Class indices from 0 to ``classes`` - 1, of any shape.
        prediction: Class indices of the same shape.
        classes: Number of classes.

    Returns:
        (classes, classes) counts. Rows are the target class, columns the predicted class.
    """
    pairs = target.astype(np.int64) * classes + prediction
    return np.bincount(pairs.reshape(-1), minlength=classes * classes).reshape(classes, classes)


def iou_per_class(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of each class.

    Args:
        counts: (K, K) pixel counts, or (K, K + 1) with a last column for pixels without a prediction. Rows are the
            target class, columns the predicted class.

    Returns:
        (K,) IoU from 0 to 1; 0 for a class that is neither in the target nor predicted.
    """
    counts = counts.astype(np.float64)
    hits = counts.diagonal()
    union = counts.sum(axis=0)[: len(hits)] + counts.sum(axis=1) - hits
    return hits / np.maximum(union, 1.0)
