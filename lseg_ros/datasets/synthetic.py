"""The synthetic world as a data set, rendered on access."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets.language_probes import COLORED, FOLDS, UNSEEN
from lseg_ros.datasets.sample import IGNORE, Sample
from lseg_ros.synthetic import CLASSES, COLORS, SyntheticFrame, SyntheticWorld

__all__ = ["SyntheticScenes"]

_SCENES_PER_SEED = 10_000_000
_GOLDEN = 0.618033988749895  # spreads the times at which scenes are rendered


@dataclass(frozen=True)
class SyntheticScenes:
    """Scenes of the synthetic world, each rendered at one time.

    The training split and the evaluation split never share a world seed, even if their ``seed`` is equal. The training
    split ignores the pixels of objects with a combination of class and color that ``UNSEEN`` lists, with or without
    ``colors``.

    Attributes:
        count: Number of scenes.
        seed: Scenes of different seeds differ.
        training: Training split instead of evaluation split.
        width: Image width in pixels.
        height: Image height in pixels.
        colors: Label the objects of the classes in ``COLORED`` by color, such as "red ball". These labels follow those
            of the classes.
        left_out: Fold of ``FOLDS`` whose classes have no label and whose pixels are ignored, -1 for none.
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
        """Names of the classes, followed by those with colors."""
        left_out = FOLDS[self.left_out] if self.left_out >= 0 else ()
        plain = tuple(name for name in CLASSES if name not in left_out)
        colored = [name for name in COLORED if name not in left_out] if self.colors else []
        return plain + tuple(f"{color} {name}" for name in colored for color in COLORS)

    @functools.cached_property
    def general(self) -> tuple[int, ...]:
        """For each entry, the index of its class without a color: that of "ball" for "red ball"."""
        index_by_name = {name: index for index, name in enumerate(self.classes)}
        return tuple(index_by_name[name if name in CLASSES else name.split(" ", 1)[1]] for name in self.classes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        scene = self.world(index).frame(30.0 * (index * _GOLDEN % 1.0))
        return Sample(scene.frame.image, self._target(scene))

    def world(self, index: int) -> SyntheticWorld:
        """Return the world of a scene without rendering it.

        Raises:
            IndexError: If there is no such scene.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"scene: expected 0 to {self.count - 1}, got {index}")
        world_seed = 2 * (self.seed * _SCENES_PER_SEED + index) + self.training  # odd for training, even for evaluation
        return SyntheticWorld(world_seed, self.width, self.height)

    def name(self, index: int) -> str:
        """Return the name of a scene for errors and logs."""
        return f"synthetic scene {index} of seed {self.seed}"

    def _target(self, scene: SyntheticFrame) -> NDArray[np.int16]:
        """Return the (H, W) target, with IGNORE for classes that are left out."""
        colors = np.array([_COLOR_COLUMN[color] for color in scene.colors])  # by instance; 0 is no color
        return self._index_table[scene.labels, colors[scene.instances]]

    @functools.cached_property
    def _index_table(self) -> NDArray[np.int16]:
        """Index into ``classes`` for each label id and color: (classes + 1, colors + 1)."""
        index_by_name = {name: index for index, name in enumerate(self.classes)}
        table = np.full((len(CLASSES) + 1, len(COLORS) + 1), IGNORE, np.int16)  # label 0 is unlabeled
        for label, name in enumerate(CLASSES, start=1):
            table[label] = index_by_name.get(name, IGNORE)
            for column, color in enumerate(COLORS, start=1):
                table[label, column] = index_by_name.get(f"{color} {name}", table[label, 0])
                if self.training and (name, color) in UNSEEN:
                    table[label, column] = IGNORE
        return table


_COLOR_COLUMN: dict[str | None, int] = {None: 0, **{color: column for column, color in enumerate(COLORS, start=1)}}
