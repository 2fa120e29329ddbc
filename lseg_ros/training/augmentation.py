"""Augmentation of training samples: flip, scale, padding, crop and color jitter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import functional as color_transforms

from lseg_ros.datasets import IGNORE, Sample
from lseg_ros.datasets.pairs import resize_image
from lseg_ros.settings import check, setting

__all__ = ["AugmentationConfig", "Placement", "apply_placement", "jitter_colors"]


@dataclass(frozen=True)
class AugmentationConfig:
    """Settings of the augmentation."""

    flip: float = setting(0.5, "share of images that are mirrored", minimum=0.0, maximum=1.0)
    base_size: int = setting(
        520, "longer side of an image at scale 1; 0 keeps the size of every image", unit="px", minimum=0, maximum=8192
    )
    smallest_scale: float = setting(
        0.5, "smallest scale relative to base_size; scales are sampled uniformly", minimum=0.05, maximum=16.0
    )
    largest_scale: float = setting(2.0, "largest scale relative to base_size", minimum=0.05, maximum=16.0)
    crop: int = setting(
        480, "side of the random square crop; 0 keeps the whole image", unit="px", minimum=0, maximum=8192
    )
    padding: str = setting(
        "mean", "color of the padding around images smaller than the crop: mean color of the network, or black",
        choices=("mean", "black"),
    )  # fmt: skip
    color_jitter: float = setting(
        0.2, "largest relative change of brightness, contrast and saturation", minimum=0.0, maximum=0.9
    )

    def __post_init__(self) -> None:
        check(self)
        if self.crop % 32:
            raise ValueError(f"crop: expected a multiple of 32, got {self.crop}")
        if self.smallest_scale > self.largest_scale:
            raise ValueError(f"smallest_scale: expected at most {self.largest_scale}, got {self.smallest_scale}")


class Placement(NamedTuple):
    """Geometric part of the augmentation of one image.

    Attributes:
        mirrored: Whether the image is mirrored horizontally.
        height: Height after resizing, in pixels.
        width: Width after resizing, in pixels.
        top: First row of the crop.
        left: First column of the crop.
        crop: Side of the square crop, 0 for no crop. An image smaller than the crop is padded at the right and bottom.
    """

    mirrored: bool
    height: int
    width: int
    top: int = 0
    left: int = 0
    crop: int = 0

    @classmethod
    def sample(cls, height: int, width: int, config: AugmentationConfig, rng: np.random.Generator) -> Placement:
        """Sample a placement for an image of ``height`` x ``width`` pixels.

        First the longer side, then the corner of the crop, both uniformly, as in ``_sync_transform`` of the
        PyTorch-Encoding library, which the authors use.
        """
        mirrored = bool(rng.random() < config.flip)
        if config.base_size:
            scales = (config.smallest_scale, config.largest_scale)
            shortest, longest = (int(config.base_size * scale) for scale in scales)
            height, width = _scale_longer_side(height, width, int(rng.integers(shortest, longest + 1)))
        margins = [max(side - config.crop, 0) if config.crop else 0 for side in (height, width)]
        top, left = (int(rng.integers(margin + 1)) for margin in margins)
        return cls(mirrored, height, width, top, left, config.crop)

    @property
    def content_size(self) -> tuple[int, int]:
        """Height and width of the result without the padding."""
        height, width = self.height - self.top, self.width - self.left
        return (min(height, self.crop), min(width, self.crop)) if self.crop else (height, width)


def apply_placement(sample: Sample, placement: Placement, fill: Sequence[int]) -> Sample:
    """Mirror, resize, crop and pad a sample.

    The image is resized bilinearly and the target by nearest neighbor.

    Args:
        sample: Image (H, W, 3) uint8 RGB and target (H, W) int16.
        placement: The changes to make.
        fill: RGB color of the padding. Padded pixels have the target IGNORE.

    Returns:
        Image and target of the size of the placement.
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
    """Multiply brightness, contrast and saturation by random factors.

    Args:
        image: (H, W, 3) uint8 RGB.
        strength: The factors are from 1 - strength to 1 + strength; 0 returns the image itself.
        rng: Source of the factors.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not strength:
        return image
    pil_image = Image.fromarray(image)
    for adjust, factor in zip(
        (color_transforms.adjust_brightness, color_transforms.adjust_contrast, color_transforms.adjust_saturation),
        rng.uniform(1 - strength, 1 + strength, size=3),
    ):
        pil_image = adjust(pil_image, float(factor))
    return np.array(pil_image)


def _pad(sample: Sample, height: int, width: int, fill: Sequence[int]) -> Sample:
    """Pad a sample at the bottom and right to at least ``height`` x ``width``."""
    image, target = sample
    bottom, right = max(height - target.shape[0], 0), max(width - target.shape[1], 0)
    if not bottom and not right:
        return sample
    padded_target = np.pad(target, ((0, bottom), (0, right)), constant_values=IGNORE)
    padded_image = np.empty((*padded_target.shape, 3), np.uint8)
    padded_image[:] = fill
    padded_image[: target.shape[0], : target.shape[1]] = image
    return Sample(padded_image, padded_target)


def _scale_longer_side(height: int, width: int, longer: int) -> tuple[int, int]:
    """Return (height, width) with the same aspect ratio and the given longer side.

    The shorter side is rounded half up.
    """
    if height > width:
        return longer, max(int(width * longer / height + 0.5), 1)
    return max(int(height * longer / width + 0.5), 1), longer
