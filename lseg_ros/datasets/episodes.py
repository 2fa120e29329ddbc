"""Zero-shot tests: one class per image, asked against everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets.files import Pair
from lseg_ros.datasets.pairs import checked_index, read_pair, resized
from lseg_ros.datasets.sample import Episode

__all__ = ["PairedEpisodes", "Question"]


class Question(NamedTuple):
    """Where in ``pair.image`` is the class? read_target answers it from the mask: 1, 0 or IGNORE, (H, W) int16."""

    pair: Pair
    class_index: int
    read_target: Callable[[Path], NDArray[np.int16]]


@dataclass(frozen=True, eq=False)
class PairedEpisodes:
    """Questions about images and masks in files, read and resized when an episode is taken, as LSeg's authors do.

    The image is resized bilinearly by Pillow, the target to the pixel at the floor of row * H / 480 and
    column * W / 480, as torch's nearest interpolation does; the aspect is not kept.
    """

    classes: tuple[str, ...]
    questions: Sequence[Question]
    size: tuple[int, int] = (480, 480)

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> Episode:
        pair, class_index, read_target = self.questions[checked_index(index, len(self))]
        image, target = read_pair(pair, read_target)
        width, height = self.size
        rows, columns = (
            np.floor(np.arange(new, dtype=np.float32) * np.float32(old / new)).astype(int)
            for new, old in zip((height, width), target.shape)
        )
        return Episode(resized(image, height, width), target[rows[:, None], columns], class_index)

    def name(self, index: int) -> str:
        return str(self.questions[index].pair.image)
