"""Length of a training run, and the images of each step and process."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.settings import check, setting

__all__ = ["SampleSchedule", "ScheduleConfig"]


@dataclass(frozen=True)
class ScheduleConfig:
    """Steps and batches.

    A run ends when it reaches ``steps`` or ``epochs``, whichever comes first.
    """

    steps: int = setting(20_000, "maximum number of optimizer steps; 0 for no limit", unit="steps", minimum=0)
    epochs: int = setting(0, "maximum number of passes over the training set; 0 for no limit", minimum=0)
    batch_size: int = setting(8, "images per batch on each device", minimum=1)
    accumulate: int = setting(1, "batches per optimizer step, whose gradients are accumulated", minimum=1)
    early_steps: int = setting(0, "number of first steps that use early_batch_size", unit="steps", minimum=0)
    early_batch_size: int = setting(8, "batch_size of the early steps", minimum=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.steps and not self.epochs:
            raise ValueError("steps: expected a limit of steps or of epochs, got 0 for both")


@dataclass(frozen=True)
class SampleSchedule:
    """Which training images each step sees, as a pure function of step and process.

    Sample indices count the images of the whole run over all processes, starting at 0. Two processes therefore see the
    same images as one process with twice the batch size, and a resumed run sees what the original run would have seen.

    Attributes:
        images: Number of images in the training set.
        config: Steps and batches.
        seed: Seed of the shuffling.
        processes: Number of processes.
        shuffled: Whether each epoch has its own random order; otherwise the images keep the order of the data set.
    """

    images: int
    config: ScheduleConfig
    seed: int = 0
    processes: int = 1
    shuffled: bool = True

    @property
    def steps(self) -> int:
        """Number of optimizer steps of the whole run."""
        config, samples = self.config, self.config.epochs * self.images
        if not samples:
            return config.steps
        early = min(config.early_steps, -(-samples // self._samples_per_step(0)))
        late = max(0, -(-(samples - self.samples_seen(early)) // self._samples_per_step(config.early_steps)))
        return min(early + late, config.steps or early + late)

    def batch_size(self, step: int) -> int:
        """Return the number of images per batch on each device."""
        return self.config.early_batch_size if step < self.config.early_steps else self.config.batch_size

    def samples_seen(self, step: int) -> int:
        """Return how many images all processes together have seen before a step."""
        early = min(step, self.config.early_steps)
        return early * self._samples_per_step(0) + (step - early) * self._samples_per_step(self.config.early_steps)

    def indices(self, step: int, part: int, process: int) -> range:
        """Return the sample indices of one batch.

        Args:
            step: Optimizer step.
            part: Number of the batch within the step, from 0 to ``accumulate`` - 1.
            process: Rank of the process.
        """
        size = self.batch_size(step)
        first = self.samples_seen(step) + (part * self.processes + process) * size
        return range(first, first + size)

    def image_index(self, index: int) -> int:
        """Return the index in the training set of the image at a sample index."""
        epoch, position = divmod(index, self.images)
        return int(_permutation(self.images, self.seed, epoch)[position]) if self.shuffled else position

    def epoch(self, step: int) -> int:
        """Return the pass over the training set in which a step begins, counted from 0."""
        return self.samples_seen(step) // self.images

    @property
    def epochs(self) -> int:
        """Number of passes over the training set that the run begins."""
        return self.epoch(self.steps - 1) + 1

    def _samples_per_step(self, step: int) -> int:
        return self.processes * self.config.accumulate * self.batch_size(step)


@functools.lru_cache(maxsize=2)  # a batch may reach into the next epoch
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)
