"""COCO-Stuff with all 164,000 images: 80 thing classes and 91 stuff classes."""

from __future__ import annotations

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import find_folder, list_pairs, target_reader
from lseg_ros.datasets.labels import COCO_STUFF
from lseg_ros.datasets.pairs import PairedImages
from lseg_ros.datasets.sample import IGNORE

__all__ = ["open_coco_stuff"]

_UNUSED = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}  # thing ids that COCO reserved but never used


def open_coco_stuff(config: DatasetConfig) -> PairedImages:
    """Open the images of COCO 2017 with the masks of stuffthingmaps_trainval2017.zip.

    Images are in val2017 or images/val2017, masks in stuffthingmaps/val2017 or annotations/val2017. Masks hold the
    ids 0 to 181, and 255 for unlabeled pixels.

    Raises:
        FileNotFoundError: If a folder or a mask is missing.
        ValueError: If there are no images.
    """
    part = f"{config.split}2017"
    images = find_folder(config.root, f"images/{part}", part)
    masks = find_folder(config.root, f"stuffthingmaps/{part}", f"annotations/{part}")
    used = [class_id for class_id in range(182) if class_id not in _UNUSED]
    id_to_index = {255: IGNORE, **{class_id: index for index, class_id in enumerate(used)}}
    pairs = list_pairs(images, masks, lambda image: [image.with_suffix(".png")])
    return PairedImages(COCO_STUFF, pairs, target_reader(id_to_index))
