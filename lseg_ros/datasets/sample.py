"""What every data set gives: an image and, for each of its pixels, the index of a word."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE", "Episode", "Episodes", "LabeledImages", "Sample"]

IGNORE = -1  # the target of a pixel that has no word


class Sample(NamedTuple):
    """image: (H, W, 3) uint8 RGB. target: (H, W) int16, index into the data set's ``classes`` or IGNORE."""

    image: NDArray[np.uint8]
    target: NDArray[np.int16]


class LabeledImages(Protocol):
    """A data set: so many samples, whose targets index ``classes``.

    ``classes`` are entries of a label list, ``|`` between synonyms. Two may read the same (``screen`` is there twice in
    the authors' words for ADE20K): they score alike everywhere, and of equal scores the first wins.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def name(self, index: int) -> str:
        """What to call a sample in an error or a log: its path, where it has one."""
        ...


class Episode(NamedTuple):
    """One question of a zero-shot test: where is class ``class_index``, and where is anything else?

    image: (H, W, 3) uint8 RGB. target: (H, W) int16, 1 where the class is, 0 where it is not, or IGNORE.
    """

    image: NDArray[np.uint8]
    target: NDArray[np.int16]
    class_index: int


class Episodes(Protocol):
    """A zero-shot test: each episode is asked with the two labels ``others`` and ``classes[class_index]``.

    Images and targets come resized to ``size``, (width, height) in pixels, whatever their shape was.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Episode: ...

    def name(self, index: int) -> str:
        """What to call an episode in an error or a log: the path of its image."""
        ...
