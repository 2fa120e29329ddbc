"""A folder of images, masks of ids, and a label list."""

from __future__ import annotations

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import find_folder, list_pairs, target_reader
from lseg_ros.datasets.labels import read_label_list
from lseg_ros.datasets.pairs import PairedImages, RelabeledDataset
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_folder"]

_MASK_FOLDERS = ("masks", "labels", "annotations")
_LOSSLESS = (".png", ".tif", ".tiff", ".bmp")


def open_folder(config: DatasetConfig) -> RelabeledDataset:
    """Open a folder with images/, masks/ (or labels/, annotations/) and labels.txt.

    An image and its mask have the same name. ``config.labels`` replaces labels.txt. If images/ contains train/ or
    val/, only the requested split is used, otherwise all images. Masks hold the ids of the label list; 255 is ignored
    unless the list contains it. A mask must match the upright image, with its EXIF orientation applied.

    Raises:
        FileNotFoundError: If a folder, the label list or a mask is missing.
        ValueError: If there are no images, or the label list is not valid.
    """
    images = find_folder(config.root, "images")
    has_splits = any((images / split).is_dir() for split in ("train", "val"))
    entries_by_id = read_label_list(config.labels or images.parent / "labels.txt")
    id_to_index = {255: IGNORE, **{class_id: index for index, class_id in enumerate(entries_by_id)}}
    split_folders = [f"{folder}/{config.split}" for folder in _MASK_FOLDERS] if has_splits else []
    pairs = list_pairs(
        find_folder(config.root, f"images/{config.split}") if has_splits else images,
        find_folder(config.root, *split_folders, *_MASK_FOLDERS),
        lambda image: [image.with_suffix(suffix) for suffix in _LOSSLESS],
    )
    entries = tuple(entries_by_id.values())
    return RelabeledDataset(PairedImages(entries, pairs, target_reader(id_to_index)), entries)
