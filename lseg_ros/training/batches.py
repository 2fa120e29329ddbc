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
from lseg_ros.training.augmentation import Placement, jittered, place
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import Question, Words
from lseg_ros.training.schedule import Order

__all__ = ["Batch", "Batches", "Fault", "words_of"]

_STRIDE = 32


class Batch(NamedTuple):
    """image: (B, 3, H, W) uint8, H and W multiples of 32. names: what the samples are called.

    target: (B, h, w) int64, class or IGNORE; at the positions of the pixel embeddings, h = H/2, or of the pixels,
    h = H. questions: those of each image. draws: (B, N) float32 in [0, 1), by which N pixels of each image are
    chosen; N = 0 is for all.
    """

    image: Tensor
    target: Tensor
    questions: tuple[tuple[Question, ...], ...]
    draws: Tensor
    names: tuple[str, ...]


class Fault(NamedTuple):
    """In place of a batch: a sentence that names the sample that cannot be had."""

    sentence: str


def words_of(images: LabeledImages | Episodes, config: TrainingConfig) -> Words:
    """The words that the targets of a training set index; of a zero-shot set the first is ``others``.

    Raises FileNotFoundError or ValueError as ``Words.of`` does.
    """
    classes = (OTHERS, *images.classes) if config.zero_shot else images.classes
    return Words.of(classes, config.questions, images.general if isinstance(images, SyntheticScenes) else ())


@dataclass(frozen=True)
class Batches(Dataset[Batch | Fault]):
    """One process's batches of the whole run, by number: ``accumulate`` to a step.

    A batch is the same whenever it is made: all draws for an image come from the seed and the image's position.
    """

    config: TrainingConfig
    images: LabeledImages | Episodes
    words: Words
    order: Order
    fill: Sequence[int]  # RGB of what is filled up
    process: int = 0

    def __len__(self) -> int:
        return self.order.steps * self.config.order.accumulate

    def __getitem__(self, number: int) -> Batch | Fault:
        step, part = divmod(number, self.config.order.accumulate)
        images, names = self._images_of(step), []
        samples, questions, draws = [], [], []
        for position in self.order.positions(step, part, self.process):
            index = self.order.image(position)
            names.append(images.name(index))
            try:
                given = images[index]
            except (OSError, ValueError) as error:  # which name the file
                return Fault(str(error))
            rng = np.random.default_rng((self.config.seed, position))
            try:
                sample, asked = self._lesson(given, rng)
            except ValueError as error:
                return Fault(f"{names[-1]}: {error}")
            samples.append(sample)
            questions.append(asked)
            draws.append(rng.random(self.config.pixels, np.float32))
        image, target = self._stacked(samples)
        return Batch(image, target, tuple(questions), torch.from_numpy(np.stack(draws)), tuple(names))

    def _images_of(self, step: int) -> LabeledImages | Episodes:
        """The set of the step: the synthetic one is rendered in the width whose turn it is."""
        config = self.config
        widths = config.early_widths if step < config.order.early_steps else config.widths
        if not isinstance(self.images, SyntheticScenes) or not widths:
            return self.images
        width = widths[step % len(widths)]
        return dataclasses.replace(self.images, width=width, height=width * 3 // 4)

    def _lesson(self, given: Sample | Episode, rng: np.random.Generator) -> tuple[Sample, tuple[Question, ...]]:
        """An image as it is shown, and what it is asked."""
        image, target, only = given.image, given.target, None
        if isinstance(given, Episode):
            only = (0, given.class_index + 1)
            target = np.where(target == 1, given.class_index + 1, target).astype(np.int16)
        self._check(target)
        config = self.config.augmentation
        placement = Placement.draw(target.shape[0], target.shape[1], config, rng)
        image, target = place(Sample(image, target), placement, self.fill)
        image = jittered(image, config.color_jitter, rng)
        present = np.unique(target[target != IGNORE])
        asked = (self.words.complete(only),) if only else self.words.ask(present, self.config.questions, rng)
        return Sample(image, target), asked

    def _check(self, target: NDArray[np.int16]) -> None:
        count = len(self.words.classes)
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
        if not self.config.full_resolution:
            target = target[:, _grid(height)][:, :, _grid(width)]  # (B, H/2, W/2)
        return image, target


def _grid(size: int) -> Tensor:
    """The image rows (or columns) on which the size/2 rows of pixel embeddings lie (bilinear, align_corners=True)."""
    return torch.linspace(0, size - 1, size // 2).round().long()
