"""Roboflow's export ``Semantic Segmentation Masks``.

It consists of train/, valid/ and test/ with images, masks and _classes.csv.
"""

from __future__ import annotations

import csv
from pathlib import Path

from lseg_ros.datasets.annotations.photos import index_labels, select_split, split_name
from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, read_lines, target_reader
from lseg_ros.datasets.pairs import PairedImages
from lseg_ros.datasets.sample import IGNORE
from lseg_ros.image_data import find_images

__all__ = ["find_class_tables", "open_roboflow"]

_MASK = "_mask"  # photo.jpg, photo_mask.png


def find_class_tables(root: Path) -> list[Path]:
    """Return the _classes.csv of each split."""
    return [*root.glob("_classes.csv"), *sorted(root.glob("*/_classes.csv"))]


def open_roboflow(config: DatasetConfig, root: Path) -> PairedImages:
    """Open images, masks of ids, and the table of ids and labels.

    Raises:
        FileNotFoundError: If a mask is missing.
        ValueError: If a table is not valid or differs from the others, or the split is empty.
    """
    tables = {path: _read_classes(path) for path in find_class_tables(root)}
    if not tables:
        raise FileNotFoundError(f"{root}: expected _classes.csv in it or in its folders train and valid, got none")
    (first, names), *others = tables.items()
    for path, other in others:
        if other != names:
            raise ValueError(f"{path}: expected the same classes as in {first}, got others")
    classes, name_to_index, _ = index_labels(names.values(), config, root, names.values())
    pairs = []
    for table in tables:
        folder = table.parent
        for image in find_images(folder):
            if not image.stem.endswith(_MASK):
                mask = image.with_name(f"{image.stem}{_MASK}.png")
                if not mask.is_file():
                    raise FileNotFoundError(f"{image}: expected its mask at {mask}, got none")
                pairs.append((split_name(folder.relative_to(root)), Pair(image, mask)))
    id_to_index = {255: IGNORE, **{class_id: name_to_index[name] for class_id, name in names.items()}}
    return PairedImages(classes, select_split(pairs, config.split, root), target_reader(id_to_index))


def _read_classes(path: Path) -> dict[int, str]:
    """Read the lines ``Pixel Value, Class`` and ``1, road``."""
    rows = list(csv.reader(read_lines(path), skipinitialspace=True))
    if not rows or [cell.strip().casefold() for cell in rows[0]] != ["pixel value", "class"]:
        raise ValueError(
            f"{path}: expected the columns 'Pixel Value, Class', got {', '.join(rows[0]) if rows else ''!r}"
        )
    try:
        names = {int(number): name.strip() for number, name in rows[1:]}
    except ValueError as error:
        raise ValueError(f"{path}: expected rows like '1, road', got {error}") from error
    if not names or not all(0 <= number <= 65535 for number in names):
        raise ValueError(f"{path}: expected ids from 0 to 65535 and their classes, got {names}")
    return names
