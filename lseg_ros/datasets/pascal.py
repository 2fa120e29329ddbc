"""Pascal VOC 2012 and Pascal Context, with or without a class for the background."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import VOCSegmentation

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, check_pairs, find_folder, read_lines, target_reader
from lseg_ros.datasets.labels import PASCAL_CONTEXT, VOC, join_words
from lseg_ros.datasets.pairs import PairedImages
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_pascal_context", "open_voc2012"]

_BACKGROUND = "background"


def open_voc2012(config: DatasetConfig) -> PairedImages:
    """Open Pascal VOC 2012 from VOCdevkit/VOC2012: 20 classes, 21 with the background.

    Raises:
        FileNotFoundError: If a folder, the split file, an image or a mask is missing.
        ValueError: If the split file lists no images.
    """
    folder = find_folder(config.root, "VOCdevkit/VOC2012")
    source = folder / "ImageSets/Segmentation" / f"{config.split}.txt"
    read_lines(source)  # fails with a clearer message than torchvision if the list is missing
    listed = VOCSegmentation(str(folder.parents[1]), "2012", config.split)
    pairs = [Pair(Path(image), Path(mask)) for image, mask in zip(listed.images, listed.masks)]
    return _build_dataset(VOC, check_pairs(pairs, source), config)


def open_pascal_context(config: DatasetConfig) -> PairedImages:
    """Open Pascal Context: 59 classes, 60 with the background.

    VOC2010/SegmentationClassContext holds masks with the ids 1 to 59, converted from the published annotations.

    Raises:
        FileNotFoundError: If a folder, the split file, an image or a mask is missing.
        ValueError: If the split file lists no images.
    """
    candidates = "VOCdevkit/VOC2010", "VOC2010", "."
    masks = find_folder(config.root, *(f"{folder}/SegmentationClassContext" for folder in candidates))
    source = masks.parent / "ImageSets/SegmentationContext" / f"{config.split}.txt"
    images = masks.parent / "JPEGImages"
    pairs = [Pair(images / f"{name}.jpg", masks / f"{name}.png") for name in read_lines(source)]
    return _build_dataset(PASCAL_CONTEXT, check_pairs(pairs, source), config)


def _build_dataset(words: tuple[str, ...], pairs: list[Pair], config: DatasetConfig) -> PairedImages:
    """Build a data set of masks with 1 and up for ``words``, 0 and 255 for the rest.

    0 is the background, 255 the unlabeled border of an object.
    """
    names = join_words(words) if config.names == "authors" else words
    classes = (_BACKGROUND, *names) if config.background else names
    first = 0 if config.background else 1
    id_to_index = {0: IGNORE, 255: IGNORE, **{first + index: index for index in range(len(classes))}}
    return PairedImages(classes, pairs, target_reader(id_to_index))
