"""Cityscapes: the 19 classes that its benchmark counts."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import Cityscapes

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, check_pairs, find_folder, target_reader
from lseg_ros.datasets.pairs import PairedImages
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_cityscapes"]


def open_cityscapes(config: DatasetConfig) -> PairedImages:
    """Cityscapes' leftImg8bit and gtFine; masks are ``*_gtFine_labelIds.png``, ids as published."""
    images = find_folder(config.root, f"leftImg8bit/{config.split}")
    find_folder(config.root, f"gtFine/{config.split}")
    listed = Cityscapes(str(images.parents[1]), config.split, mode="fine", target_type="semantic")
    named = sorted((image, masks[0]) for image, masks in zip(listed.images, listed.targets))
    pairs = [Pair(Path(image), Path(mask)) for image, mask in named if image.endswith("_leftImg8bit.png")]
    counted = sorted((each for each in Cityscapes.classes if not each.ignore_in_eval), key=lambda each: each.train_id)
    index_of = {each.id: IGNORE for each in Cityscapes.classes if each.id >= 0}
    index_of.update((each.id, each.train_id) for each in counted)
    return PairedImages(tuple(each.name for each in counted), check_pairs(pairs, images), target_reader(index_of))
