"""Length of a training run, and the images of each step and process."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.settings import check, setting

__all__ = ["MixSchedule", "SampleSchedule", "ScheduleConfig"]

_BLOCK = 1000  # samples in which every set of a mix has exactly its share, rounded


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


@dataclass(frozen=True)
class MixSchedule(SampleSchedule):
    """Which images of a mix each step sees, as a pure function of step and process.

    Every 1000 samples contain each set in proportion to its share, in random order. Within a set, every image is
    seen once before one is seen again.

    Attributes:
        sizes: Number of images of each set.
        shares: Share of each set; the sum is 1.
        shuffled_sets: For each set, whether its images are shuffled.
    """

    sizes: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    shuffled_sets: tuple[bool, ...] = ()

    def image_index(self, index: int) -> int:
        """Return the index in the mixed images of the image at a sample index."""
        block, position = divmod(index, _BLOCK)
        order = _block_order(self.quotas, self.seed, block)
        number = int(order[position])
        earlier = block * self.quotas[number] + int(np.count_nonzero(order[:position] == number))
        round_, local = divmod(earlier, self.sizes[number])
        if self.shuffled_sets[number]:
            local = int(_set_order(self.sizes[number], self.seed, number, round_)[local])
        return sum(self.sizes[:number]) + local

    @functools.cached_property
    def quotas(self) -> tuple[int, ...]:
        """Samples of each set in a block: shares rounded by largest remainder, at least one each."""
        exact = np.array(self.shares) * _BLOCK
        quotas = np.maximum(exact.astype(int), 1)
        while quotas.sum() != _BLOCK:
            change = 1 if quotas.sum() < _BLOCK else -1
            gap = change * (exact - quotas)
            gap[quotas + change < 1] = -np.inf
            quotas[gap.argmax()] += change
        return tuple(quotas.tolist())


@functools.lru_cache(maxsize=4)
def _block_order(quotas: tuple[int, ...], seed: int, block: int) -> NDArray[np.int64]:
    """Return the set of each sample of a block."""
    return np.random.default_rng((seed, block)).permutation(np.repeat(np.arange(len(quotas)), quotas))


@functools.lru_cache(maxsize=128)
def _set_order(size: int, seed: int, number: int, round_: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, round_, number + 1)).permutation(size)
