"""Any folder of images, masks of ids and a label list."""

from __future__ import annotations

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import find_folder, list_pairs, target_reader
from lseg_ros.datasets.labels import read_label_list
from lseg_ros.datasets.pairs import PairedImages, RelabeledDataset
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_folder"]

_MASKS = ("masks", "labels", "annotations")
_LOSSLESS = (".png", ".tif", ".tiff", ".bmp")


def open_folder(config: DatasetConfig) -> RelabeledDataset:
    """A root with images/, masks/ (or labels/, annotations/) of equal names, and labels.txt unless ``labels`` is set.

    Where images/ has a folder of a split, train or val, the split's is read, else all of it. Masks hold the ids of the
    label list; 255, where it is not listed, is not counted.
    """
    images = find_folder(config.root, "images")
    parted = any((images / part).is_dir() for part in ("train", "val"))
    words = read_label_list(config.labels or images.parent / "labels.txt")
    index_of = {255: IGNORE, **{number: index for index, number in enumerate(words)}}
    pairs = list_pairs(
        find_folder(config.root, f"images/{config.split}") if parted else images,
        find_folder(config.root, *([f"{each}/{config.split}" for each in _MASKS] if parted else []), *_MASKS),
        lambda image: [image.with_suffix(suffix) for suffix in _LOSSLESS],
    )
    entries = tuple(words.values())
    return RelabeledDataset(PairedImages(entries, pairs, target_reader(index_of)), entries)
