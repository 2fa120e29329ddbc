"""Data sets of image and mask files, and wrappers that change their labels or sizes."""

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
    """A data set of image and mask files, read when a sample is accessed.

    Attributes:
        classes: Label list.
        pairs: Image and mask of each sample.
        read_target: Function from the path of a mask to its (H, W) int16 target.
    """

    classes: tuple[str, ...]
    pairs: Sequence[Pair]
    read_target: Callable[[Path], NDArray[np.int16]]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        return read_pair(self.pairs[checked_index(index, len(self))], self.read_target)

    def name(self, index: int) -> str:
        """Return the path of the image."""
        return str(self.pairs[index].image)


@dataclass(frozen=True, eq=False)
class RelabeledDataset:
    """A data set with other labels.

    Classes with equal labels are merged. Pixels of a class with an empty label become IGNORE.

    Attributes:
        images: The original data set.
        words: One label for each of its classes.
    """

    images: LabeledImages
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(self.images.classes):
            raise ValueError(f"labels: expected one per class ({len(self.images.classes)}), got {len(self.words)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Different labels in the order of their first use, without the empty one."""
        return tuple(dict.fromkeys(word for word in self.words if word))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image, target = self.images[index]
        word_to_index = {word: index for index, word in enumerate(self.classes)}
        table = [word_to_index.get(word, IGNORE) for word in self.words]
        return Sample(image, np.array([*table, IGNORE], np.int16)[target])  # IGNORE, -1, selects the last entry

    def name(self, index: int) -> str:
        """Return the name that the original data set gives the sample."""
        return self.images.name(index)


@dataclass(frozen=True, eq=False)
class ResizedDataset:
    """A data set whose larger images are reduced in size.

    ADE20K's benchmark was made this way: targets are resized to the nearest pixel, and square images keep their size.
    Images are resized bilinearly here; how the benchmark resized them is not known.

    Attributes:
        images: The original data set.
        short_side: Maximum length of the shorter side, in pixels.
    """

    images: LabeledImages
    short_side: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Label list of the original data set."""
        return self.images.classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image, target = self.images[index]
        height, width = target.shape
        short = min(height, width)
        if height == width or short <= self.short_side:
            return Sample(image, target)
        # round half up
        height, width = (int(side * self.short_side / short + 0.5) for side in (height, width))
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip((height, width), target.shape)
        )
        return Sample(resize_image(image, height, width), target[rows[:, None], columns])

    def name(self, index: int) -> str:
        """Return the name that the original data set gives the sample."""
        return self.images.name(index)


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize an (H, W, 3) uint8 image to (height, width, 3), bilinearly with Pillow."""
    return np.array(resize(Image.fromarray(image), [height, width]))


def read_pair(pair: Pair, read_target: Callable[[Path], NDArray[np.int16]]) -> Sample:
    """Read an image and its target.

    The mask must match the upright image, with its EXIF orientation applied.

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
    """Return ``index``, or raise IndexError if it is not in 0 to ``count - 1``."""
    if not 0 <= index < count:
        raise IndexError(f"sample: expected 0 to {count - 1}, got {index}")
    return index
