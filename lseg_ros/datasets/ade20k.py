"""ADE20K with the 150 classes of its scene parsing benchmark."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, check_pairs, find_folder, list_pairs, target_reader
from lseg_ros.datasets.labels import ADE20K, first_words
from lseg_ros.datasets.pairs import PairedImages, ResizedDataset
from lseg_ros.datasets.sample import IGNORE, LabeledImages
from lseg_ros.recordings import read_rgb

__all__ = ["open_ade20k"]

_SPLIT_FOLDERS = {"train": "training", "val": "validation"}
_SHORT_SIDE = 512  # px: larger images were reduced to this for the benchmark

# Ids of the benchmark's classes 1 to 150 in the full releases of 2016 and 2021, from the benchmark's mapFromADE.txt.
# fmt: off
_FULL_IDS = (
    2978, 312, 2420, 976, 2855, 447, 2131, 165, 3055, 1125, 350, 2377, 1831, 838, 774, 2684, 1610, 1910, 687, 471,
    401, 2994, 1735, 2473, 2329, 1276, 2264, 1564, 2178, 913, 57, 2272, 907, 724, 2138, 2985, 1395, 155, 2053, 689,
    137, 266, 581, 2380, 491, 627, 2212, 2388, 2423, 943, 2096, 1121, 1788, 2530, 2185, 420, 1948, 1869, 2251, 2531,
    2128, 294, 239, 212, 571, 2793, 978, 236, 1240, 181, 629, 2598, 1744, 1374, 591, 2679, 223, 123, 47, 1282, 327,
    2821, 1451, 2880, 2828, 480, 77, 2616, 246, 2733, 14, 738, 38, 1936, 1401, 120, 868, 1702, 249, 308, 1969, 2526,
    2928, 2337, 1023, 609, 389, 2989, 1930, 2668, 2586, 131, 146, 3016, 2739, 95, 1563, 642, 1708, 103, 1002, 2569,
    2704, 2833, 1551, 1981, 29, 187, 1393, 747, 2254, 206, 2262, 1260, 2243, 2932, 2836, 2850, 64, 894, 1858, 3109,
    1919, 1583, 318, 2356, 2046, 1098, 530, 954,
)
# fmt: on
# door, wardrobe and booth have a second id in the full releases
_FULL_ID_TO_INDEX = {**{full_id: index for index, full_id in enumerate(_FULL_IDS)}, 783: 14, 533: 35, 247: 88}


def open_ade20k(config: DatasetConfig) -> LabeledImages:
    """Open ADE20K in any of its layouts.

    The benchmark (ADEChallengeData2016) has images/validation and annotations/validation. Its masks hold the ids 1 to
    150, and 0 for everything else. The full releases (ADE20K_2021_17_01, ADE20K_2016_07_26) have a ``*_seg.png`` next
    to each image; their classes and sizes are converted to those of the benchmark.

    With ``names="authors"``, the classes are the words that LSeg's authors used; ``screen`` occurs twice among them.

    Raises:
        FileNotFoundError: If a folder or a mask is missing.
        ValueError: If there are no images.
    """
    words = first_words(ADE20K) if config.names == "authors" else ADE20K
    part = _SPLIT_FOLDERS[config.split]
    images = find_folder(
        config.root,
        f"ADEChallengeData2016/images/{part}",
        f"ADE20K_2021_17_01/images/ADE/{part}",
        f"ADE20K_2016_07_26/images/{part}",
        f"images/ADE/{part}",
        f"images/{part}",
    )
    masks = images.parents[1] / "annotations" / part
    if masks.is_dir():
        id_to_index = {0: IGNORE, **{class_id: class_id - 1 for class_id in range(1, len(words) + 1)}}
        pairs = list_pairs(images, masks, lambda image: [image.with_suffix(".png")])
        return PairedImages(words, pairs, target_reader(id_to_index))
    if next(images.rglob("*_seg.png"), None) is None:
        raise FileNotFoundError(f"{images}: expected masks in {masks}, or *_seg.png next to the images, got neither")
    return ResizedDataset(PairedImages(words, _full_pairs(images), _full_target), _SHORT_SIDE)


def _full_pairs(images: Path) -> list[Pair]:
    found = []
    for folder, subfolders, files in os.walk(images):
        # each image has a folder with the masks of its instances
        subfolders[:] = [name for name in subfolders if not name.startswith("ADE_")]
        found += [Path(folder, name) for name in files if name.endswith(".jpg")]
    pairs = [Pair(image, image.with_name(f"{image.stem}_seg.png")) for image in sorted(found)]
    return check_pairs(pairs, images)


def _full_target(path: Path) -> NDArray[np.int16]:
    """Decode the class from red and green; classes outside the benchmark are IGNORE."""
    colors = read_rgb(path).astype(np.int32)
    table = np.full(1 << 13, IGNORE, np.int16)  # the largest id that two channels can hold is 25 * 256 + 255
    table[list(_FULL_ID_TO_INDEX)] = list(_FULL_ID_TO_INDEX.values())
    return table[colors[..., 0] // 10 * 256 + colors[..., 1]]
