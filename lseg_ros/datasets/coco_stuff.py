"""COCO-Stuff, all 164,000 images: 80 things and 91 stuffs."""

from __future__ import annotations

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import find_folder, list_pairs, target_reader
from lseg_ros.datasets.labels import COCO_STUFF
from lseg_ros.datasets.pairs import PairedImages
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_coco_stuff"]

_UNUSED = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}  # ids that COCO reserved for things and never used


def open_coco_stuff(config: DatasetConfig) -> PairedImages:
    """COCO's val2017 and train2017 images with the PNGs of stuffthingmaps_trainval2017.zip: 0 to 181, 255 for nothing.

    Images lie in val2017 or images/val2017, masks in stuffthingmaps/val2017 or annotations/val2017.
    """
    part = f"{config.split}2017"
    images = find_folder(config.root, f"images/{part}", part)
    masks = find_folder(config.root, f"stuffthingmaps/{part}", f"annotations/{part}")
    used = [number for number in range(182) if number not in _UNUSED]
    index_of = {255: IGNORE, **{number: index for index, number in enumerate(used)}}
    pairs = list_pairs(images, masks, lambda image: [image.with_suffix(".png")])
    return PairedImages(COCO_STUFF, pairs, target_reader(index_of))
