"""How far color alone goes: the best guess for a pixel from nothing but its own color."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets import IGNORE, Sample

__all__ = ["ColorBaseline"]

_BITS = 5  # 32 x 32 x 32 colors


@dataclass(frozen=True, eq=False)
class ColorBaseline:
    """For each color the class that most training pixels of it had, rare classes counting more.

    best: (32768,) int16 class per quantized RGB color. Counts are divided by the root of the class's total, which
    favors mIoU over pixel accuracy.
    """

    best: NDArray[np.int16]

    @classmethod
    def fit(cls, samples: Iterable[Sample], classes: int) -> ColorBaseline:
        counts = np.zeros((1 << 3 * _BITS, classes))
        for image, target in samples:
            known = target != IGNORE
            flat = _color_index(image)[known].astype(np.int64) * classes + target[known]
            counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        prior = counts.sum(0) ** 0.5  # between pixel accuracy (no division) and balance (full division)
        return cls((counts / np.maximum(prior, 1)).argmax(1).astype(np.int16))

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """(H, W, 3) uint8 RGB -> (H, W) int16 classes."""
        return self.best[_color_index(image)]


def _color_index(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = (image[..., channel].astype(np.int32) >> (8 - _BITS) for channel in range(3))
    return (red << 2 * _BITS) | (green << _BITS) | blue
