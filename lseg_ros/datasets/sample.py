"""What every data set gives: an image and, for each of its pixels, the index of a word."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE", "LabeledImages", "Sample"]

IGNORE = -1  # the target of a pixel that has no word


class Sample(NamedTuple):
    """image: (H, W, 3) uint8 RGB. target: (H, W) int16, index into the data set's ``classes`` or IGNORE."""

    image: NDArray[np.uint8]
    target: NDArray[np.int16]


class LabeledImages(Protocol):
    """A data set: so many samples, whose targets index ``classes``."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
