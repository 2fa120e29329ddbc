"""COCO instances in JSON, a format that most annotation tools export.

CVAT, Label Studio and Roboflow are among them. Fields: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lseg_ros.datasets.annotations.photos import Annotations, Photo, find_image, split_name
from lseg_ros.datasets.annotations.regions import Polygons, Region, Runs, decode_counts, polygon, runs

__all__ = ["read_coco"]


def read_coco(root: Path, documents: Mapping[Path, Any]) -> Annotations:
    """Read the contents of COCO instances files.

    Crowds are drawn first, then other areas from large to small: the format has no order, and small things lie in
    front of large ones more often. A category without annotations that only groups others (Roboflow's category 0) is
    no label.

    Args:
        root: Folder of the data set.
        documents: Contents of each JSON file. Files named instances_* take precedence over others, which may repeat
            their areas (person_keypoints_*).

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If a file is not valid.
    """
    instances = {path: document for path, document in documents.items() if path.name.startswith("instances")}
    found = Annotations()
    for source, document in (instances or documents).items():
        try:
            _read_document(root, source, document, found)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{source}: expected a COCO instances file, got a wrong field ({type(error).__name__}: {error})"
            ) from error
    return found


def _read_document(root: Path, source: Path, document: Mapping[str, Any], found: Annotations) -> None:
    found.names.extend(name for name in _label_names(document) if name not in found.names)
    areas = _read_areas(source, document, found)
    split = split_name(source.relative_to(root))
    folders = _image_folders(root, source)
    for image in document["images"]:
        file = str(image["file_name"]).replace("\\", "/")
        paths = [folder / name for name in dict.fromkeys((file, Path(file).name)) for folder in folders]
        size = (image["width"], image["height"]) if image.get("width") and image.get("height") else None
        path = find_image(root, source, paths)
        found.photos.append(Photo(path, source, split, size, tuple(areas[image["id"]])))


def _label_names(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the categories in the order of their ids.

    Categories that only group others are left out.
    """
    used = {annotation["category_id"] for annotation in document["annotations"]}
    groups = {category.get("supercategory") for category in document["categories"]}
    return [
        str(category["name"])
        for category in sorted(document["categories"], key=lambda category: category["id"])
        if category["id"] in used
        or category["name"] not in groups
        or category.get("supercategory") not in (None, "", "none")
    ]


def _read_areas(source: Path, document: Mapping[str, Any], found: Annotations) -> dict[Any, list[tuple[str, Region]]]:
    """Return the label and region of each annotation by image id.

    Annotations are in the order in which they are drawn.
    """
    names = {category["id"]: str(category["name"]) for category in document["categories"]}
    ranked: dict[Any, list[tuple[tuple[bool, float], str, Region]]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        number = annotation.get("id", "without id")
        if annotation["image_id"] not in ranked or annotation["category_id"] not in names:
            raise ValueError(
                f"{source}: expected the image and the category of annotation {number} in the file, "
                f"got {annotation['image_id']!r} and {annotation['category_id']!r}"
            )
        if not annotation.get("segmentation"):
            found.skipped["box"] += 1
            continue
        try:
            region = _region(annotation["segmentation"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{source}: expected polygons or RLE, got annotation {number} ({type(error).__name__}: {error})"
            ) from error
        rank = (not annotation.get("iscrowd"), -region.area)
        ranked[annotation["image_id"]].append((rank, names[annotation["category_id"]], region))
    return {
        image_id: [(name, region) for _, name, region in sorted(areas, key=lambda area: area[0])]
        for image_id, areas in ranked.items()
    }


def _image_folders(root: Path, source: Path) -> list[Path]:
    """Return the folders where images may be.

    They are the folder of the file and those in which COCO, CVAT and labelme2coco put images.
    """
    subset = source.stem.removeprefix("instances_")
    above = root if source.parent == root else source.parent.parent
    in_above = (f"images/{subset}", subset, "images", "JPEGImages", ".", f"images/{source.parent.name}")
    return [source.parent, *(above / folder for folder in in_above)]


def _region(segmentation: Any) -> Polygons | Runs:
    if isinstance(segmentation, list):  # of polygons [x0, y0, x1, y1, ...]; some tools leave stray points
        corners = [np.reshape(flat, (-1, 2)) for flat in segmentation if len(flat) >= 6]
        return Polygons(tuple(polygon(ring).rings[0] for ring in corners))
    height, width = segmentation["size"]
    counts = segmentation["counts"]
    return runs(decode_counts(counts) if isinstance(counts, str) else counts, (height, width))
