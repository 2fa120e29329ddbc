"""Augmentation: mirror, scale, fill up, crop, and the colors; the target moves with its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import functional as colors

from lseg_ros.datasets import IGNORE, Sample
from lseg_ros.datasets.pairs import resize_image
from lseg_ros.settings import check, setting

__all__ = ["AugmentationConfig", "Placement", "apply_placement", "jitter_colors"]


@dataclass(frozen=True)
class AugmentationConfig:
    """What is changed about an image before it is shown."""

    flip: float = setting(0.5, "share of images that are mirrored", minimum=0.0, maximum=1.0)
    base_size: int = setting(
        520, "longer side of an image at scale 1; 0 leaves images their size", unit="px", minimum=0, maximum=8192
    )
    smallest_scale: float = setting(0.5, "of base_size, drawn evenly", minimum=0.05, maximum=16.0)
    largest_scale: float = setting(2.0, "of base_size, drawn evenly", minimum=0.05, maximum=16.0)
    crop: int = setting(
        480, "side of the square that is cut out at random; 0 takes the whole image", unit="px", minimum=0, maximum=8192
    )
    padding: str = setting(
        "mean", "color that fills up what is smaller: the network's mean, or black", choices=("mean", "black")
    )
    color_jitter: float = setting(
        0.2, "brightness, contrast and saturation change by up to this share", minimum=0.0, maximum=0.9
    )

    def __post_init__(self) -> None:
        check(self)
        if self.crop % 32:
            raise ValueError(f"crop: expected a multiple of 32, got {self.crop}")
        if self.smallest_scale > self.largest_scale:
            raise ValueError(f"smallest_scale: expected at most {self.largest_scale}, got {self.smallest_scale}")


class Placement(NamedTuple):
    """Where an image goes: mirrored or not, resized to height x width, then a square at (top, left) of side crop.

    Without crop, 0, everything is kept. What is smaller than the crop is filled up on the right and below.
    """

    mirrored: bool
    height: int
    width: int
    top: int = 0
    left: int = 0
    crop: int = 0

    @classmethod
    def sample(cls, height: int, width: int, config: AugmentationConfig, rng: np.random.Generator) -> Placement:
        """As the authors draw it (lseg.md 3): the longer side evenly, then the corner evenly."""
        mirrored = bool(rng.random() < config.flip)
        if config.base_size:
            scales = (config.smallest_scale, config.largest_scale)
            least, most = (int(config.base_size * scale) for scale in scales)
            height, width = _with_longer_side(height, width, int(rng.integers(least, most + 1)))
        rooms = [max(side - config.crop, 0) if config.crop else 0 for side in (height, width)]
        top, left = (int(rng.integers(room + 1)) for room in rooms)
        return cls(mirrored, height, width, top, left, config.crop)


def apply_placement(sample: Sample, placement: Placement, fill: Sequence[int]) -> Sample:
    """The sample as the placement has it: the image bilinearly, the target by the nearest pixel.

    fill: RGB of what is filled up; its target is IGNORE.
    """
    image, target = sample
    mirrored, height, width, top, left, crop = placement
    if mirrored:
        image, target = image[:, ::-1], target[:, ::-1]
    if target.shape != (height, width):
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip((height, width), target.shape)
        )
        image, target = resize_image(np.ascontiguousarray(image), height, width), target[rows[:, None], columns]
    if crop:
        image, target = image[top : top + crop, left : left + crop], target[top : top + crop, left : left + crop]
        image, target = _pad(Sample(image, target), crop, crop, fill)
    return Sample(np.ascontiguousarray(image), np.ascontiguousarray(target))


def jitter_colors(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with brightness, contrast and saturation multiplied by 1 - strength to 1 + strength."""
    if not strength:
        return image
    picture = Image.fromarray(image)
    for change, factor in zip(
        (colors.adjust_brightness, colors.adjust_contrast, colors.adjust_saturation),
        rng.uniform(1 - strength, 1 + strength, size=3),
    ):
        picture = change(picture, float(factor))
    return np.array(picture)


def _pad(sample: Sample, height: int, width: int, fill: Sequence[int]) -> Sample:
    """At least height x width, filled up on the right and below."""
    image, target = sample
    down, right = max(height - target.shape[0], 0), max(width - target.shape[1], 0)
    if not down and not right:
        return sample
    wider = np.pad(target, ((0, down), (0, right)), constant_values=IGNORE)
    filled = np.empty((*wider.shape, 3), np.uint8)
    filled[:] = fill
    filled[: target.shape[0], : target.shape[1]] = image
    return Sample(filled, wider)


def _with_longer_side(height: int, width: int, longer: int) -> tuple[int, int]:
    """The same aspect, the shorter side rounded half up, and never nothing."""
    if height > width:
        return longer, max(int(width * longer / height + 0.5), 1)
    return max(int(height * longer / width + 0.5), 1), longer
