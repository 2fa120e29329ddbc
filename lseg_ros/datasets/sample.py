"""Types of data sets and of their samples."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE", "Episode", "Episodes", "LabeledImages", "Sample", "spaced_indices"]

IGNORE = -1  # target of a pixel without a label


def spaced_indices(count: int, limit: int) -> list[int]:
    """Return evenly spaced indices of ``limit`` of ``count`` samples, or of all for 0."""
    return np.linspace(0, count - 1, min(limit or count, count)).round().astype(int).tolist()


class Sample(NamedTuple):
    """An image and the label of each of its pixels.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        target: (H, W) int16, index into the data set's ``classes``, or IGNORE.
    """

    image: NDArray[np.uint8]
    target: NDArray[np.int16]


class LabeledImages(Protocol):
    """A data set whose targets are indices into ``classes``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Entries of a label list, with ``|`` between synonyms.

        Two may be equal: ``screen`` occurs twice in the authors' words for ADE20K. Equal entries get equal scores at
        every pixel, and the first of them is predicted.
        """
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def name(self, index: int) -> str:
        """Return the name of a sample for errors and logs: the path of its image if it has one."""
        ...


class Episode(NamedTuple):
    """One image of a zero-shot test and the class to find in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        target: (H, W) int16: 1 for the class, 0 for everything else, or IGNORE.
        class_index: Index of the class.
    """

    image: NDArray[np.uint8]
    target: NDArray[np.int16]
    class_index: int


class Episodes(Protocol):
    """A zero-shot test.

    Each episode is segmented with the two labels ``others`` and ``classes[class_index]``.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, to which images and targets are resized."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the test asks for."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Episode: ...

    def name(self, index: int) -> str:
        """Return the name of an episode for errors and logs: the path of its image."""
        ...
