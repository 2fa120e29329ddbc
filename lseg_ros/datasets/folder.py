"""A folder of your own images with masks of ids or with the export of an annotation tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lseg_ros.datasets.annotations import open_annotations
from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, find_folder, list_pairs, read_ids, target_reader
from lseg_ros.datasets.labels import read_label_list
from lseg_ros.datasets.pairs import PairedImages, RelabeledDataset
from lseg_ros.datasets.sample import IGNORE, LabeledImages
from lseg_ros.image_data import find_images

__all__ = ["has_val_split", "open_folder"]

_MASK_FOLDERS = ("masks", "labels", "annotations")
_LOSSLESS = (".png", ".tif", ".tiff", ".bmp")
_MASKS_TO_CHECK = 100


def open_folder(config: DatasetConfig) -> LabeledImages:
    """Open a folder of images and masks, or of images and annotations.

    See ``lseg_ros.datasets.annotations`` for the formats of annotations. A folder with images, masks and a label list
    is opened as such, whatever else it contains.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If there are annotations in several formats, or a file is not valid.
    """
    root = find_folder(config.root, ".")
    if _has_masks(config, root):
        return _open_masks(config)
    return open_annotations(config, root, _find_masks(root)) or _open_masks(config)


def has_val_split(config: DatasetConfig) -> bool:
    """Return whether the split ``val`` of a folder differs from ``train``.

    Only masks without folders train and val have no splits.

    Raises:
        FileNotFoundError: If ``config.root`` does not exist.
    """
    root = find_folder(config.root, ".")
    return not _has_masks(config, root) or (root / "images/val").is_dir()


def _has_masks(config: DatasetConfig, root: Path) -> bool:
    """Return whether the folder is to be opened as images, masks and a label list."""
    has_labels = bool(config.labels) or (root / "labels.txt").is_file()
    return config.annotations == "masks" or (
        config.annotations == "auto" and has_labels and _find_masks(root) is not None
    )


def _find_masks(root: Path) -> Path | None:
    """Return the folder of masks next to images/, None if there is none."""
    folders = [root / name for name in _MASK_FOLDERS if (root / "images").is_dir()]
    return next(
        (
            folder
            for folder in folders
            if any(file.suffix.lower() in _LOSSLESS for file in find_images(folder, recursive=True))
        ),
        None,
    )


def _open_masks(config: DatasetConfig) -> RelabeledDataset:
    """Open a folder with images/, masks/ (or labels/, annotations/) and labels.txt.

    An image and its mask have the same name. ``config.labels`` replaces labels.txt. If images/ contains train/ or
    val/, only the requested split is used, otherwise all images. Masks hold the ids of the label list; 255 is ignored
    unless the list contains it. Masks of only 0 and 255 are rejected if the list has
    the ids 0 and 1. A mask must match the upright image, with its EXIF orientation applied.

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
    _check_black_and_white(entries_by_id, pairs)
    entries = tuple(entries_by_id.values())
    return RelabeledDataset(PairedImages(entries, pairs, target_reader(id_to_index)), entries)


def _check_black_and_white(entries_by_id: Mapping[int, str], pairs: Sequence[Pair]) -> None:
    """Reject masks that are drawn in black and white, whose 255 would be ignored.

    Raises:
        ValueError: If the list has the ids 0 and 1, and the first masks contain 0 and 255 but never 1.
    """
    if sorted(entries_by_id) != [0, 1]:
        return
    used: set[int] = set()
    for pair in pairs[:_MASKS_TO_CHECK]:
        try:
            used.update(np.unique(read_ids(pair.mask)).tolist())
        except ValueError:  # reported with the sample
            return
        if used - {0, 255}:
            return
    if used == {0, 255}:
        zero, one = entries_by_id[0], entries_by_id[1]
        raise ValueError(
            f"{pairs[0].mask.parent}: expected the ids 0 and 1 ({one!r}) in masks, "
            f"got only 0 and 255, which is ignored; if 255 is {one!r}, "
            f"write the label list as '0: {zero}' and '255: {one}'"
        )
