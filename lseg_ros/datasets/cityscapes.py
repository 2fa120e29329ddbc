"""Cityscapes with the 19 classes of its benchmark."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import Cityscapes

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, check_pairs, find_folder, target_reader
from lseg_ros.datasets.pairs import PairedImages
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_cityscapes"]


def open_cityscapes(config: DatasetConfig) -> PairedImages:
    """Open Cityscapes from leftImg8bit and gtFine, as published.

    Masks are ``*_gtFine_labelIds.png``.

    Raises:
        FileNotFoundError: If a folder, an image or a mask is missing.
        ValueError: If there are no images.
    """
    images = find_folder(config.root, f"leftImg8bit/{config.split}")
    find_folder(config.root, f"gtFine/{config.split}")
    listed = Cityscapes(str(images.parents[1]), config.split, mode="fine", target_type="semantic")
    found = sorted((image, masks[0]) for image, masks in zip(listed.images, listed.targets))
    pairs = [Pair(Path(image), Path(mask)) for image, mask in found if image.endswith("_leftImg8bit.png")]
    scored = [entry for entry in Cityscapes.classes if not entry.ignore_in_eval]
    scored.sort(key=lambda entry: entry.train_id)
    id_to_index = {entry.id: IGNORE for entry in Cityscapes.classes if entry.id >= 0}
    id_to_index.update((entry.id, entry.train_id) for entry in scored)
    return PairedImages(tuple(entry.name for entry in scored), check_pairs(pairs, images), target_reader(id_to_index))
