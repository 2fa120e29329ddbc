"""JSON files of labelme: one next to each image.

Fields and shapes: labelme/label_file.py and labelme/utils/shape.py of https://github.com/wkentaro/labelme.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lseg_ros.datasets.annotations.photos import Annotations, Photo, find_image, split_name, with_suffixes
from lseg_ros.datasets.annotations.regions import Bitmap, Region, ellipse, polygon, rectangle

__all__ = ["read_labelme"]

_WITHOUT_AREA = ("line", "linestrip", "point", "points")


def read_labelme(root: Path, documents: Mapping[Path, Any]) -> Annotations:
    """Read the contents of labelme files.

    Labelme turns photos upright before it shows them, so its coordinates refer to the upright image.

    Args:
        root: Folder of the data set.
        documents: Contents of each JSON file.

    Raises:
        FileNotFoundError: If the image of a file is missing.
        ValueError: If a file is not valid.
    """
    found = Annotations()
    for source, document in documents.items():
        areas: list[tuple[str, Region]] = []
        for number, shape in enumerate(document["shapes"]):
            try:
                kind, points = shape.get("shape_type") or "polygon", shape["points"]
                if kind in _WITHOUT_AREA:
                    found.skipped[kind] += 1
                elif kind == "polygon" and len(points) < 3:
                    found.skipped["polygon with fewer than 3 points"] += 1
                else:
                    areas.append((str(shape["label"]), _region(kind, points, shape)))
            except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{source}: expected a shape of labelme, got shape {number} ({type(error).__name__}: {error})"
                ) from error
        # Windows writes backslashes; the image may have been moved together with its file.
        relative = str(document.get("imagePath") or "").replace("\\", "/")
        candidates = [source.parent / relative] if relative else []
        image = find_image(root, source, [*candidates, *with_suffixes(source.with_suffix(""))])
        width, height = document.get("imageWidth"), document.get("imageHeight")
        size = (width, height) if width and height else None
        found.photos.append(Photo(image, source, split_name(source.relative_to(root)), size, tuple(areas)))
    return found


def _region(kind: str, points: Any, shape: Mapping[str, Any]) -> Region:
    if kind in ("polygon", "oriented_rectangle"):
        return polygon(points)
    if kind in ("rectangle", "circle", "mask"):
        (x0, y0), (x1, y1) = ((float(x), float(y)) for x, y in points)
        if kind == "rectangle":
            return rectangle(x0, y0, x1, y1)
        if kind == "circle":  # center and a point of the rim
            radius = float(np.hypot(x1 - x0, y1 - y0))
            return ellipse(x0, y0, radius, radius)
        return Bitmap(str(shape["mask"]), (round(y0), round(x0)))
    raise ValueError(
        f"shape_type: expected polygon, rectangle, oriented_rectangle, circle, mask or a line or point, got {kind!r}"
    )
