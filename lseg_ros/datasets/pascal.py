"""Pascal VOC 2012 and Pascal Context: words for things, with or without one for everything else."""

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
    """Pascal VOC 2012, whose VOCdevkit/VOC2012 lies in the root: 20 classes, 21 with the background."""
    folder = find_folder(config.root, "VOCdevkit/VOC2012")
    source = folder / "ImageSets/Segmentation" / f"{config.split}.txt"
    read_lines(source)  # what torchvision would say of a missing list does not tell what was expected
    listed = VOCSegmentation(str(folder.parents[1]), "2012", config.split)
    pairs = [Pair(Path(image), Path(mask)) for image, mask in zip(listed.images, listed.masks)]
    return _paired(VOC, check_pairs(pairs, source), config)


def open_pascal_context(config: DatasetConfig) -> PairedImages:
    """Pascal Context as PNGs of ids 1 to 59 in VOC2010/SegmentationClassContext: 59 classes, 60 with the background."""
    candidates = "VOCdevkit/VOC2010", "VOC2010", "."
    masks = find_folder(config.root, *(f"{each}/SegmentationClassContext" for each in candidates))
    source = masks.parent / "ImageSets/SegmentationContext" / f"{config.split}.txt"
    images = masks.parent / "JPEGImages"
    pairs = [Pair(images / f"{name}.jpg", masks / f"{name}.png") for name in read_lines(source)]
    return _paired(PASCAL_CONTEXT, check_pairs(pairs, source), config)


def _paired(words: tuple[str, ...], pairs: list[Pair], config: DatasetConfig) -> PairedImages:
    """Masks hold 1 and up for ``words``, 0 for the background and 255 for borders that nobody labeled."""
    spelled = join_words(words) if config.names == "authors" else words
    classes = (_BACKGROUND, *spelled) if config.background else spelled
    first = 0 if config.background else 1
    index_of = {0: IGNORE, 255: IGNORE, **{first + index: index for index in range(len(classes))}}
    return PairedImages(classes, pairs, target_reader(index_of))
