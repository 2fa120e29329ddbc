"""Training batches: augmented samples of a data set, with the label prompts of each image."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lseg_ros.datasets import IGNORE, Episode, Episodes, LabeledImages, Sample, SyntheticScenes
from lseg_ros.datasets.mix import Hint
from lseg_ros.datasets.mixed_images import MixedImages
from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.training.augmentation import Placement, apply_placement, jitter_colors
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler
from lseg_ros.training.schedule import SampleSchedule

__all__ = ["Batch", "BatchError", "Batches", "PixelHint", "build_label_sampler"]

_STRIDE = 32  # image sides are padded to multiples of it
_FIRST, _EMBEDDING_STRIDE = 2, 4  # image rows (or columns) of the embeddings at low resolution


class PixelHint(NamedTuple):
    """What the unlabeled pixels in some rows of an image may show.

    Attributes:
        first_row: First row of the embeddings at low resolution.
        end_row: The row after the last one.
        possible: (P,) int64, words for what they may show: rows of ``LabelSampler.embeddings``.
        absent: (A,) int64, words for what they do not show.
    """

    first_row: int
    end_row: int
    possible: Tensor
    absent: Tensor


class Batch(NamedTuple):
    """Input of the loss for B images.

    Attributes:
        image: (B, 3, H, W) uint8 RGB; H and W are multiples of 32.
        target: (B, h, w) int64, class or IGNORE, at the positions of the pixel embeddings (h = H/2) or, with
            ``loss_at_full_resolution``, of the pixels (h = H).
        prompts: The label prompts of each image; none for an image of a set without labels.
        draws: (B, N) float32 in [0, 1), random numbers that select the N pixels per image of the loss; N = 0 for all.
        names: Names of the samples, for error messages.
        unlabeled: (B, H/4, W/4) bool, True for pixels of the images without a label, at the positions of the embeddings
            at low resolution. None if nothing uses them.
        hints: For each image, what its unlabeled pixels may show.
    """

    image: Tensor
    target: Tensor
    prompts: tuple[tuple[LabelPrompt, ...], ...]
    draws: Tensor
    names: tuple[str, ...]
    unlabeled: Tensor | None = None
    hints: tuple[tuple[PixelHint, ...], ...] = ()


class _AugmentedSample(NamedTuple):
    """A sample after augmentation.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        target: (H, W) int16, class or IGNORE.
        content_size: Height and width without the padding at the bottom and right.
        prompts: The label prompts.
        hints: What unlabeled pixels may show.
    """

    image: NDArray[np.uint8]
    target: NDArray[np.int16]
    content_size: tuple[int, int]
    prompts: tuple[LabelPrompt, ...]
    hints: tuple[PixelHint, ...]


class BatchError(NamedTuple):
    """Result for a batch that could not be loaded.

    Attributes:
        message: Error message that names the sample.
    """

    message: str


def build_label_sampler(images: LabeledImages | Episodes, config: TrainingConfig) -> LabelSampler:
    """Build the label sampler of a training set; class 0 of a zero-shot set is ``others``.

    Raises:
        FileNotFoundError: As ``LabelSampler.from_classes``.
        ValueError: As ``LabelSampler.from_classes``.
    """
    if isinstance(images, MixedImages):
        words = [word for part in images.sets for hint in part.hints for word in (*hint.possible, *hint.absent)]
        return LabelSampler.from_classes(images.classes, config.label_sampler, images.parents, images.synonyms, words)
    classes = (OTHERS, *images.classes) if config.zero_shot else images.classes
    parents = images.general if isinstance(images, SyntheticScenes) else ()
    return LabelSampler.from_classes(classes, config.label_sampler, parents)


@dataclass(frozen=True)
class Batches(Dataset[Batch | BatchError]):
    """The batches of one process over the whole run; every step takes ``accumulate`` of them.

    A batch does not depend on when it is loaded: all random choices for an image follow from the seed of the run and
    the sample index.

    Attributes:
        config: Settings of the run.
        images: The training set.
        sampler: Samples the label prompts.
        schedule: Decides which images a batch has.
        fill: RGB color of the padding.
        process: Rank of the process.
    """

    config: TrainingConfig
    images: LabeledImages | Episodes
    sampler: LabelSampler
    schedule: SampleSchedule
    fill: Sequence[int]
    process: int = 0

    def __len__(self) -> int:
        return self.schedule.steps * self.config.schedule.accumulate

    def __getitem__(self, number: int) -> Batch | BatchError:
        step, part = divmod(number, self.config.schedule.accumulate)
        images = self._images_at(step)
        names, samples, draws = [], [], []
        for index in self.schedule.indices(step, part, self.process):
            image_index = self.schedule.image_index(index)
            names.append(images.name(image_index))
            try:
                loaded = images[image_index]
            except (OSError, ValueError) as error:  # their messages name the file
                return BatchError(str(error))
            rng = np.random.default_rng((self.config.seed, index))
            try:
                samples.append(self._augment(loaded, image_index, rng))
            except ValueError as error:
                return BatchError(f"{names[-1]}: {error}")
            draws.append(rng.random(self.config.pixels_per_image, np.float32))
        image, target, unlabeled = self._collate(samples)
        prompts = tuple(sample.prompts for sample in samples)
        hints = tuple(sample.hints for sample in samples)
        return Batch(image, target, prompts, torch.from_numpy(np.stack(draws)), tuple(names), unlabeled, hints)

    def _images_at(self, step: int) -> LabeledImages | Episodes:
        """Return the training set of a step: synthetic scenes are rendered at the widths in turn."""
        config = self.config
        widths = config.early_widths if step < config.schedule.early_steps else config.widths
        if not isinstance(self.images, SyntheticScenes) or not widths:
            return self.images
        width = widths[step % len(widths)]
        return dataclasses.replace(self.images, width=width, height=width * 3 // 4)

    @functools.cached_property
    def _set_samplers(self) -> tuple[LabelSampler, ...]:
        ranges = self.images.class_ranges if isinstance(self.images, MixedImages) else ()
        return tuple(self.sampler.restricted_to(classes) for classes in ranges)

    def _select_sampler(self, image_index: int) -> LabelSampler:
        """Return the sampler of the label list of the image's data set."""
        if isinstance(self.images, MixedImages):
            return self._set_samplers[self.images.set_number(image_index)]
        return self.sampler

    @functools.cached_property
    def _set_hints(self) -> tuple[tuple[tuple[Hint, Tensor, Tensor], ...], ...]:
        """For each set of a mix, its hints with the texts of their words."""
        find = self.sampler.find_texts
        parts = self.images.sets if isinstance(self.images, MixedImages) else ()
        return tuple(tuple((hint, find(hint.possible), find(hint.absent)) for hint in part.hints) for part in parts)

    def _select_hints(self, image_index: int, placement: Placement) -> tuple[PixelHint, ...]:
        """Return what the unlabeled pixels of an image may show after its placement."""
        if not isinstance(self.images, MixedImages):
            return ()
        hints = []
        for hint, possible, absent in self._set_hints[self.images.set_number(image_index)]:
            edges = (share * placement.height - placement.top for share in hint.rows)  # in rows of the crop
            first, end = (max(math.ceil((edge - _FIRST) / _EMBEDDING_STRIDE), 0) for edge in edges)
            if first < end:
                hints.append(PixelHint(first, end, possible, absent))
        return tuple(hints)

    def _augment(self, loaded: Sample | Episode, image_index: int, rng: np.random.Generator) -> _AugmentedSample:
        """Augment one image and sample its label prompts."""
        image, target, only = loaded.image, loaded.target, None
        if isinstance(loaded, Episode):
            only = (0, loaded.class_index + 1)
            target = np.where(target == 1, loaded.class_index + 1, target).astype(np.int16)
        self._check_target(target)
        config = self.config.augmentation
        placement = Placement.sample(target.shape[0], target.shape[1], config, rng)
        image, target = apply_placement(Sample(image, target), placement, self.fill)
        image = jitter_colors(image, config.color_jitter, rng)
        present = np.unique(target[target != IGNORE])
        if only:
            prompts: tuple[LabelPrompt, ...] = (self.sampler.complete(only),)
        else:
            prompts = self._select_sampler(image_index).sample(present, self.config.label_sampler, rng)
        hints = self._select_hints(image_index, placement)
        return _AugmentedSample(image, target, placement.content_size, prompts, hints)

    def _check_target(self, target: NDArray[np.int16]) -> None:
        count = len(self.sampler.classes)
        if target.size and not (target.min() >= IGNORE and target.max() < count):
            wrong = int(target.max()) if target.max() >= count else int(target.min())
            raise ValueError(f"target: expected indices of {count} classes, got {wrong}")

    def _collate(self, samples: Sequence[_AugmentedSample]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Stack samples, padded to the largest one and to multiples of 32.

        Returns:
            ``image``, ``target`` and ``unlabeled`` of ``Batch``.
        """
        height, width = (
            -(-max(sample.target.shape[axis] for sample in samples) // _STRIDE) * _STRIDE for axis in (0, 1)
        )
        image = torch.tensor(self.fill, dtype=torch.uint8)[:, None, None].repeat(len(samples), 1, height, width)
        target = torch.full((len(samples), height, width), IGNORE, dtype=torch.int64)
        for number, sample in enumerate(samples):
            area = (..., slice(sample.target.shape[0]), slice(sample.target.shape[1]))
            image[number][area] = torch.from_numpy(sample.image).permute(2, 0, 1)
            target[number][area] = torch.from_numpy(sample.target)
        unlabeled = None
        if self.config.distillation.distill_weight or any(self._set_hints):
            is_content = torch.zeros_like(target, dtype=torch.bool)
            for number, sample in enumerate(samples):
                is_content[number, : sample.content_size[0], : sample.content_size[1]] = True
            positions = slice(_FIRST, None, _EMBEDDING_STRIDE)
            unlabeled = ((target == IGNORE) & is_content)[:, positions, positions]  # (B, H/4, W/4)
        if not self.config.loss_at_full_resolution:
            target = target[:, _embedding_positions(height)][:, :, _embedding_positions(width)]  # (B, H/2, W/2)
        return image, target, unlabeled


def _embedding_positions(size: int) -> Tensor:
    """Return the image rows or columns of the pixel embeddings (bilinear, align_corners=True).

    Returns:
        (size/2,) int64.
    """
    return torch.linspace(0, size - 1, size // 2).round().long()
