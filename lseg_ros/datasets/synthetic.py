"""The synthetic world as a data set: as many scenes as wanted, rendered when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lseg_ros.datasets.sample import Sample
from lseg_ros.streams.synthetic import CLASSES, SyntheticWorld

__all__ = ["SyntheticScenes"]

_SCENES_PER_SEED = 10_000_000
_GOLDEN = 0.618033988749895  # spreads the moments at which scenes are seen


@dataclass(frozen=True)
class SyntheticScenes:
    """``count`` scenes of the synthetic world, each seen once.

    Scenes of the training split and of the evaluation split never have a world seed in common, whatever ``seed``.
    """

    count: int
    seed: int = 0
    training: bool = False
    width: int = 320
    height: int = 240

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"scene: expected 0 to {self.count - 1}, got {index}")
        number = self.seed * _SCENES_PER_SEED + index
        world = SyntheticWorld(2 * number + self.training, self.width, self.height)  # odd seeds train, even seeds test
        scene = world.frame(30.0 * (index * _GOLDEN % 1.0))
        return Sample(scene.frame.image, scene.labels.astype(np.int16) - 1)  # 0, nothing, becomes IGNORE

    def name(self, index: int) -> str:
        return f"synthetic scene {index} of seed {self.seed}"
