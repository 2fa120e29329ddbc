"""The synthetic world as a data set: as many scenes as wanted, rendered when they are asked for."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets.language_probes import COLORED, FOLDS, UNSEEN
from lseg_ros.datasets.sample import Sample
from lseg_ros.synthetic import CLASSES, COLORS, SyntheticFrame, SyntheticWorld

__all__ = ["SyntheticScenes"]

_SCENES_PER_SEED = 10_000_000
_GOLDEN = 0.618033988749895  # spreads the moments at which scenes are seen


@dataclass(frozen=True)
class SyntheticScenes:
    """``count`` scenes of the synthetic world, each seen once.

    Scenes of the training split and of the evaluation split never have a world seed in common, whatever ``seed``, and
    in the training split the pixels of things of the combinations of class and color that ``UNSEEN`` lists do not
    count, whether colors are asked for or not.

    colors: things of the classes in ``COLORED`` have words such as "red ball", which follow those of the classes.
    left_out: the fold of ``FOLDS`` whose classes have no word and whose pixels do not count, -1 for none.
    """

    count: int
    seed: int = 0
    training: bool = False
    width: int = 320
    height: int = 240
    colors: bool = False
    left_out: int = -1

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        left_out = FOLDS[self.left_out] if self.left_out >= 0 else ()
        plain = tuple(name for name in CLASSES if name not in left_out)
        colored = [name for name in COLORED if name not in left_out] if self.colors else []
        return plain + tuple(f"{color} {name}" for name in colored for color in COLORS)

    @functools.cached_property
    def general(self) -> tuple[int, ...]:
        """For each word the number of the class's word: its own, or of "red ball" that of "ball"."""
        number = {name: index for index, name in enumerate(self.classes)}
        return tuple(number[name] if name in CLASSES else number[name.split(" ", 1)[1]] for name in self.classes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        scene = self.world(index).frame(30.0 * (index * _GOLDEN % 1.0))
        return Sample(scene.frame.image, self._target(scene))

    def world(self, index: int) -> SyntheticWorld:
        """The world of a scene, nothing of it rendered yet."""
        if not 0 <= index < self.count:
            raise IndexError(f"scene: expected 0 to {self.count - 1}, got {index}")
        number = self.seed * _SCENES_PER_SEED + index
        return SyntheticWorld(2 * number + self.training, self.width, self.height)  # odd seeds train, even seeds test

    def name(self, index: int) -> str:
        return f"synthetic scene {index} of seed {self.seed}"

    def _target(self, scene: SyntheticFrame) -> NDArray[np.int16]:
        """(H, W) number of the word, of the colored one where there is one; IGNORE where a class is left out."""
        colors = np.array([_COLOR_NUMBER[color] for color in scene.colors])  # by instance; 0 has none
        return self._words[scene.labels, colors[scene.instances]]

    @functools.cached_property
    def _words(self) -> NDArray[np.int16]:
        """(classes + 1, colors + 1) number of the word for each label id and color."""
        number = {name: index for index, name in enumerate(self.classes)}
        table = np.full((len(CLASSES) + 1, len(COLORS) + 1), -1, np.int16)  # IGNORE; label 0 is nothing
        for label, name in enumerate(CLASSES, start=1):
            table[label] = number.get(name, -1)
            for column, color in enumerate(COLORS, start=1):
                table[label, column] = number.get(f"{color} {name}", table[label, 0])
                if self.training and (name, color) in UNSEEN:
                    table[label, column] = -1
        return table


_COLOR_NUMBER: dict[str | None, int] = {None: 0, **{color: number for number, color in enumerate(COLORS, start=1)}}
