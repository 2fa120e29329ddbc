"""How long a run is, and which image of the training set comes when: a pure function of the step and the process."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.settings import check, setting

__all__ = ["SampleSchedule", "ScheduleConfig"]


@dataclass(frozen=True)
class ScheduleConfig:
    """Steps and batches. The run ends with whichever of ``steps`` and ``epochs`` is reached first."""

    steps: int = setting(20_000, "optimizer steps at most, 0 for no limit", unit="steps", minimum=0)
    epochs: int = setting(0, "passes over the training set at most, 0 for no limit", minimum=0)
    batch_size: int = setting(8, "images at once on each device", minimum=1)
    accumulate: int = setting(1, "batches whose gradients make one step", minimum=1)
    early_steps: int = setting(0, "so many of the steps come first, with early_batch_size", unit="steps", minimum=0)
    early_batch_size: int = setting(8, "batch_size of the early steps", minimum=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.steps and not self.epochs:
            raise ValueError("steps: expected a limit of steps or of epochs, got 0 for both")


@dataclass(frozen=True)
class SampleSchedule:
    """The order in which ``processes`` processes together go through ``images`` images, again and again.

    Images have positions that count from the start of the run, over all processes. So two processes see what one with
    twice the batch size sees, and a run that goes on sees what it would have seen. ``shuffled``: each epoch has an
    order of its own, else images come as they lie.
    """

    images: int
    config: ScheduleConfig
    seed: int = 0
    processes: int = 1
    shuffled: bool = True

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        config, wanted = self.config, self.config.epochs * self.images
        if not wanted:
            return config.steps
        early = min(config.early_steps, -(-wanted // self._per_step(0)))
        late = max(0, -(-(wanted - self.samples_seen(early)) // self._per_step(config.early_steps)))
        return min(early + late, config.steps or early + late)

    def batch_size(self, step: int) -> int:
        """Images at once on each device."""
        return self.config.early_batch_size if step < self.config.early_steps else self.config.batch_size

    def samples_seen(self, step: int) -> int:
        """Images that all processes have seen before this step."""
        early = min(step, self.config.early_steps)
        return early * self._per_step(0) + (step - early) * self._per_step(self.config.early_steps)

    def indices(self, step: int, part: int, process: int) -> range:
        """What one process sees in the ``part``-th of the batches that the step accumulates."""
        size = self.batch_size(step)
        first = self.samples_seen(step) + (part * self.processes + process) * size
        return range(first, first + size)

    def image_index(self, position: int) -> int:
        """The index of the image at a position."""
        epoch, place = divmod(position, self.images)
        return int(_permutation(self.images, self.seed, epoch)[place]) if self.shuffled else place

    def epoch(self, step: int) -> int:
        """The pass over the training set that the step begins in, counted from 0."""
        return self.samples_seen(step) // self.images

    @property
    def epochs(self) -> int:
        """Passes over the training set that the run begins."""
        return self.epoch(self.steps - 1) + 1

    def _per_step(self, step: int) -> int:
        return self.processes * self.config.accumulate * self.batch_size(step)


@functools.lru_cache(maxsize=2)  # a batch may reach into the next epoch
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)
