"""Images with a mask each: what nearly every data set comes down to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.functional import resize

from lseg_ros.datasets.files import Pair
from lseg_ros.datasets.sample import IGNORE, LabeledImages, Sample
from lseg_ros.recordings import read_rgb

__all__ = ["PairedImages", "RelabeledDataset", "ResizedDataset", "checked_index", "read_pair", "resize_image"]


@dataclass(frozen=True, eq=False)
class PairedImages:
    """Images and masks in files, read when a sample is taken.

    read_target: from the path of a mask to its (H, W) int16 target. A sample raises ValueError where image and mask
    differ in size.
    """

    classes: tuple[str, ...]
    pairs: Sequence[Pair]
    read_target: Callable[[Path], NDArray[np.int16]]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        return read_pair(self.pairs[checked_index(index, len(self))], self.read_target)

    def name(self, index: int) -> str:
        return str(self.pairs[index].image)


@dataclass(frozen=True, eq=False)
class RelabeledDataset:
    """A data set asked with other words, one per class of its own in their order.

    Equal words become one class; pixels of a class whose word is empty become IGNORE.
    """

    images: LabeledImages
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.images.classes):
            raise ValueError(f"labels: expected {len(self.images.classes)} words, one per class, got {len(self.words)}")

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for word in self.words if word))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image, target = self.images[index]
        index_of = {word: number for number, word in enumerate(self.classes)}
        table = [index_of.get(word, IGNORE) for word in self.words]
        return Sample(image, np.array([*table, IGNORE], np.int16)[target])  # IGNORE, -1, takes the last

    def name(self, index: int) -> str:
        return self.images.name(index)


@dataclass(frozen=True, eq=False)
class ResizedDataset:
    """A data set whose images are at most ``short_side`` pixels on their shorter side; squares stay as they are.

    So were ADE20K's images made smaller for its benchmark: targets by the nearest pixel; images here bilinearly.
    """

    images: LabeledImages
    short_side: int

    @property
    def classes(self) -> tuple[str, ...]:
        return self.images.classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image, target = self.images[index]
        height, width = target.shape
        short = min(height, width)
        if height == width or short <= self.short_side:
            return Sample(image, target)
        # halves are rounded up
        height, width = (int(side * self.short_side / short + 0.5) for side in (height, width))
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip((height, width), target.shape)
        )
        return Sample(resize_image(image, height, width), target[rows[:, None], columns])

    def name(self, index: int) -> str:
        return self.images.name(index)


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (height, width, 3), bilinearly as Pillow does it."""
    return np.array(resize(Image.fromarray(image), [height, width]))


def read_pair(pair: Pair, read_target: Callable[[Path], NDArray[np.int16]]) -> Sample:
    """Read an image and its target. The mask must match the upright image, with the EXIF orientation applied.

    Raises:
        ValueError: If their sizes differ; the message names the mask.
    """
    image, target = read_rgb(pair.image), read_target(pair.mask)
    if image.shape[:2] != target.shape:
        (height, width), (mask_height, mask_width) = image.shape[:2], target.shape
        raise ValueError(
            f"{pair.mask}: expected {width}x{height} pixels, the size of the upright image {pair.image}, "
            f"got {mask_width}x{mask_height}"
        )
    return Sample(image, target)


def checked_index(index: int, count: int) -> int:
    """``index``, or IndexError where there is no such sample; there is no counting from the end."""
    if not 0 <= index < count:
        raise IndexError(f"sample: expected 0 to {count - 1}, got {index}")
    return index
