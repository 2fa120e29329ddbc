"""Training batches: scenes, where their pixel embeddings will lie, and the words each image is asked with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lseg_ros.datasets import IGNORE, SyntheticScenes
from lseg_ros.training.config import TrainingConfig

__all__ = ["Batch", "SceneBatches"]

_STRIDE = 32


class Batch(NamedTuple):
    """image: (B, 3, H, W) uint8, H and W multiples of 32. target: (B, H/2, W/2) int64, index of a word or IGNORE,
    at the positions of the pixel embeddings. asked: (B, K) bool, the words each image is asked with."""

    image: Tensor
    target: Tensor
    asked: Tensor


@dataclass(frozen=True)
class SceneBatches(Dataset[Batch]):
    """One process's batches of one epoch.

    A batch is the same whenever it is rendered: every draw comes from its number.
    """

    config: TrainingConfig
    epoch: int
    process: int = 0  # each training process renders its own

    def __len__(self) -> int:
        return self.config.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        config = self.config
        step = self.epoch * config.steps_per_epoch + index
        early = min(step, config.early_steps)
        widths = config.early_widths if step < config.early_steps else config.widths
        size = config.early_batch_size if step < config.early_steps else config.batch_size
        width = widths[step % len(widths)]
        # no scene is shown twice: those of all earlier steps, then those of the processes before this one
        shown = config.processes * (early * config.early_batch_size + (step - early) * config.batch_size)
        first = shown + self.process * size
        scenes = SyntheticScenes(first + size, config.seed, training=True, width=width, height=width * 3 // 4)
        rng = np.random.default_rng((config.seed, step * config.processes + self.process))
        images, targets = zip(*(scenes[each] for each in range(first, first + size)))
        image = _padded(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), 127)  # mid grey is 0 once normalised
        target = _padded(torch.from_numpy(np.stack(targets)), IGNORE)
        mirrored = torch.from_numpy(rng.random(size) < 0.5)
        image[mirrored], target[mirrored] = image[mirrored].flip(-1), target[mirrored].flip(-1)
        target = target[:, _grid(target.shape[1])][:, :, _grid(target.shape[2])].long()  # (B, H/2, W/2)
        asked = torch.stack([_drawn_words(each, len(scenes.classes), config.complete_share, rng) for each in target])
        known = torch.where(target >= 0, asked.gather(1, target.clamp(min=0).flatten(1)).view_as(target), False)
        return Batch(image.contiguous(), torch.where(known, target, IGNORE), asked)


def _padded(maps: Tensor, value: int) -> Tensor:
    """(B, ..., H, W) -> the same with H and W filled up to multiples of the network's stride, bottom and right."""
    down, right = (-maps.shape[-2] % _STRIDE, -maps.shape[-1] % _STRIDE)
    return torch.nn.functional.pad(maps, (0, right, 0, down), value=value)


def _grid(size: int) -> Tensor:
    """The image rows (or columns) on which the size/2 rows of pixel embeddings lie (bilinear, align_corners=True)."""
    return torch.linspace(0, size - 1, size // 2).round().long()


def _drawn_words(target: Tensor, count: int, complete_share: float, rng: np.random.Generator) -> Tensor:
    """(count,) bool: every word, or most of the words in view and some that are not there (distractors)."""
    asked = torch.ones(count, dtype=torch.bool)
    if rng.random() >= complete_share:
        present = torch.zeros(count, dtype=torch.bool)
        present[torch.unique(target[target >= 0])] = True
        chance = np.where(present.numpy(), 0.85, rng.random())
        asked = torch.from_numpy(rng.random(count) < chance)
        asked[rng.integers(count)] = True  # never an empty set
    return asked
