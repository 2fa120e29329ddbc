"""Segmentation metrics that need neither torch nor ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["iou_per_class"]


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
