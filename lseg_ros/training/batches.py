"""Training batches: samples of a data set, augmented, with what each image is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lseg_ros.datasets import IGNORE, Episode, Episodes, LabeledImages, Sample, SyntheticScenes
from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.training.augmentation import Placement, apply_placement, jitter_colors
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler
from lseg_ros.training.schedule import SampleSchedule

__all__ = ["Batch", "BatchError", "Batches", "build_label_sampler"]

_STRIDE = 32


class Batch(NamedTuple):
    """image: (B, 3, H, W) uint8, H and W multiples of 32. names: what the samples are called.

    target: (B, h, w) int64, class or IGNORE; at the positions of the pixel embeddings, h = H/2, or of the pixels,
    h = H. questions: those of each image. draws: (B, N) float32 in [0, 1), by which N pixels of each image are
    chosen; N = 0 is for all.
    """

    image: Tensor
    target: Tensor
    prompts: tuple[tuple[LabelPrompt, ...], ...]
    draws: Tensor
    names: tuple[str, ...]


class BatchError(NamedTuple):
    """In place of a batch: a sentence that names the sample that cannot be had."""

    message: str


def build_label_sampler(images: LabeledImages | Episodes, config: TrainingConfig) -> LabelSampler:
    """The words that the targets of a training set index; of a zero-shot set the first is ``others``.

    Raises FileNotFoundError or ValueError as ``LabelSampler.from_classes`` does.
    """
    classes = (OTHERS, *images.classes) if config.zero_shot else images.classes
    return LabelSampler.from_classes(
        classes, config.label_sampler, images.general if isinstance(images, SyntheticScenes) else ()
    )


@dataclass(frozen=True)
class Batches(Dataset[Batch | BatchError]):
    """One process's batches of the whole run, by number: ``accumulate`` to a step.

    A batch is the same whenever it is made: all draws for an image come from the seed and the image's position.
    """

    config: TrainingConfig
    images: LabeledImages | Episodes
    sampler: LabelSampler
    schedule: SampleSchedule
    fill: Sequence[int]  # RGB of what is filled up
    process: int = 0

    def __len__(self) -> int:
        return self.schedule.steps * self.config.schedule.accumulate

    def __getitem__(self, number: int) -> Batch | BatchError:
        step, part = divmod(number, self.config.schedule.accumulate)
        images, names = self._images_of(step), []
        samples, questions, draws = [], [], []
        for position in self.schedule.indices(step, part, self.process):
            index = self.schedule.image_index(position)
            names.append(images.name(index))
            try:
                given = images[index]
            except (OSError, ValueError) as error:  # which name the file
                return BatchError(str(error))
            rng = np.random.default_rng((self.config.seed, position))
            try:
                sample, asked = self._lesson(given, rng)
            except ValueError as error:
                return BatchError(f"{names[-1]}: {error}")
            samples.append(sample)
            questions.append(asked)
            draws.append(rng.random(self.config.pixels_per_image, np.float32))
        image, target = self._stacked(samples)
        return Batch(image, target, tuple(questions), torch.from_numpy(np.stack(draws)), tuple(names))

    def _images_of(self, step: int) -> LabeledImages | Episodes:
        """The set of the step: the synthetic one is rendered in the width whose turn it is."""
        config = self.config
        widths = config.early_widths if step < config.schedule.early_steps else config.widths
        if not isinstance(self.images, SyntheticScenes) or not widths:
            return self.images
        width = widths[step % len(widths)]
        return dataclasses.replace(self.images, width=width, height=width * 3 // 4)

    def _lesson(self, given: Sample | Episode, rng: np.random.Generator) -> tuple[Sample, tuple[LabelPrompt, ...]]:
        """An image as it is shown, and what it is asked."""
        image, target, only = given.image, given.target, None
        if isinstance(given, Episode):
            only = (0, given.class_index + 1)
            target = np.where(target == 1, given.class_index + 1, target).astype(np.int16)
        self._check(target)
        config = self.config.augmentation
        placement = Placement.sample(target.shape[0], target.shape[1], config, rng)
        image, target = apply_placement(Sample(image, target), placement, self.fill)
        image = jitter_colors(image, config.color_jitter, rng)
        present = np.unique(target[target != IGNORE])
        asked = (self.sampler.complete(only),) if only else self.sampler.sample(present, self.config.label_sampler, rng)
        return Sample(image, target), asked

    def _check(self, target: NDArray[np.int16]) -> None:
        count = len(self.sampler.classes)
        if target.size and not (target.min() >= IGNORE and target.max() < count):
            wrong = int(target.max()) if target.max() >= count else int(target.min())
            raise ValueError(f"expected indices of {count} words in the target, got {wrong}, which has no word")

    def _stacked(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        """Samples -> image (B, 3, H, W), target (B, h, w), all filled up to the largest and to multiples of 32."""
        height, width = (
            -(-max(sample.target.shape[axis] for sample in samples) // _STRIDE) * _STRIDE for axis in (0, 1)
        )
        image = torch.tensor(self.fill, dtype=torch.uint8)[:, None, None].repeat(len(samples), 1, height, width)
        target = torch.full((len(samples), height, width), IGNORE, dtype=torch.int64)
        for number, sample in enumerate(samples):
            area = (..., slice(sample.target.shape[0]), slice(sample.target.shape[1]))
            image[number][area] = torch.from_numpy(sample.image).permute(2, 0, 1)
            target[number][area] = torch.from_numpy(sample.target)
        if not self.config.loss_at_full_resolution:
            target = target[:, _grid(height)][:, :, _grid(width)]  # (B, H/2, W/2)
        return image, target


def _grid(size: int) -> Tensor:
    """The image rows (or columns) on which the size/2 rows of pixel embeddings lie (bilinear, align_corners=True)."""
    return torch.linspace(0, size - 1, size // 2).round().long()
