"""CVAT's exports ``CVAT for images 1.1`` and ``Segmentation mask 1.1``.

The first is XML, and the second has colored masks. Fields: https://docs.cvat.ai/docs/other/xml_format and
.../dataset_management/formats/format-smask.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from lseg_ros.datasets.annotations.photos import (
    Annotations,
    Photo,
    find_image,
    index_labels,
    select_split,
    split_name,
    with_suffixes,
)
from lseg_ros.datasets.annotations.regions import Region, ellipse, polygon, rectangle, runs
from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, read_colors, read_lines
from lseg_ros.datasets.pairs import PairedImages

__all__ = ["open_cvat_masks", "read_cvat"]

_WITHOUT_AREA = ("polyline", "points", "tag", "cuboid", "skeleton")


def read_cvat(root: Path, documents: Mapping[Path, ElementTree.Element]) -> Annotations:
    """Read the contents of ``CVAT for images 1.1`` files.

    Areas with a larger ``z_order`` cover others.

    Args:
        root: Folder of the data set.
        documents: Root element of each XML file.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If a file is not valid, or is a ``CVAT for video 1.1`` file.
    """
    found = Annotations()
    for source, document in documents.items():
        if document.find("track") is not None:
            raise ValueError(f"{source}: expected an export as 'CVAT for images 1.1', got tracks of 'CVAT for video'")
        for label in document.iterfind("meta/*/labels/label"):
            name, kind = label.findtext("name") or "", label.findtext("type")
            if name and name not in found.names and kind not in _WITHOUT_AREA and label.find("parent") is None:
                found.names.append(name)
        try:
            found.photos.extend(_read_image(root, source, image, found) for image in document.iterfind("image"))
        except KeyError as error:
            raise ValueError(f"{source}: expected the attribute {error} in every image and shape, got none") from error
    return found


def _read_image(root: Path, source: Path, image: ElementTree.Element, found: Annotations) -> Photo:
    name, subset = image.attrib["name"], image.get("subset", "")
    areas: list[tuple[int, str, Region]] = []
    for shape in image:
        if shape.tag in _WITHOUT_AREA:
            found.skipped[shape.tag] += 1
            continue
        try:
            areas.append((int(shape.get("z_order", "0")), shape.attrib["label"], _region(shape)))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{source}: expected a {shape.tag} in {name}, got {error}") from error
    folders = [root / "images" / subset, root / "images", root / subset, root]
    areas.sort(key=lambda area: area[0])
    try:
        size = int(image.attrib["width"]), int(image.attrib["height"])
    except ValueError as error:
        raise ValueError(f"{source}: expected the width and height of {name}, got {error}") from error
    # Frames of a video have names without a suffix.
    paths = [path for folder in folders for path in (folder / name, *with_suffixes(folder / name))]
    path = find_image(root, source, paths)
    return Photo(path, source, split_name(Path(subset)), size, tuple(area[1:] for area in areas))


def _region(shape: ElementTree.Element) -> Region:
    def numbers(*names: str) -> list[float]:
        return [float(shape.attrib[name]) for name in names]

    rotation_deg = float(shape.get("rotation", "0"))
    if shape.tag == "polygon":
        return polygon([[float(number) for number in point.split(",")] for point in shape.attrib["points"].split(";")])
    if shape.tag == "box":
        left, top, right, bottom = numbers("xtl", "ytl", "xbr", "ybr")
        return rectangle(left, top, right, bottom, rotation_deg)
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = numbers("cx", "cy", "rx", "ry")
        return ellipse(x, y, radius_x, radius_y, rotation_deg)
    if shape.tag == "mask":
        first_row, first_column, rows, columns = map(int, numbers("top", "left", "height", "width"))
        counts = [int(count) for count in shape.attrib["rle"].split(",")]
        return runs(counts, (rows, columns), (first_row, first_column), by_column=False)
    raise ValueError(f"a shape that is not known: expected polygon, box, ellipse, mask or {', '.join(_WITHOUT_AREA)}")


def open_cvat_masks(config: DatasetConfig, root: Path) -> PairedImages:
    """Open a ``Segmentation mask 1.1`` export.

    It consists of labelmap.txt, SegmentationClass/, JPEGImages/ and ImageSets/.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If labelmap.txt is not valid, or the split is empty.
    """
    source = root / "labelmap.txt"
    colors = _read_colors(source)
    classes, name_to_index, _ = index_labels(colors.values(), config, root, colors.values())
    masks = root / "SegmentationClass"
    lists = sorted((root / "ImageSets/Segmentation").glob("*.txt"))
    named = {line: split_name(file.relative_to(root)) for file in lists for line in read_lines(file)}
    if not lists:
        named = {str(mask.relative_to(masks).with_suffix("")): "" for mask in masks.rglob("*.png")}
    pairs = []
    for name, split in sorted(named.items()):
        mask = masks / f"{name}.png"
        if mask.is_file():  # CVAT lists images without annotations as well, but writes no masks for them
            folders = root / "JPEGImages", root / "images"
            candidates = [path for folder in folders for path in with_suffixes(folder / name)]
            pairs.append((split, Pair(find_image(root, mask, candidates), mask)))
    color_to_index = {color: name_to_index[name] for color, name in colors.items()}
    return PairedImages(classes, select_split(pairs, config.split, root), partial(read_colors, indices=color_to_index))


def _read_colors(path: Path) -> dict[tuple[int, int, int], str]:
    """Read lines ``label:r,g,b:parts:actions``."""
    colors: dict[tuple[int, int, int], str] = {}
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(number) for number in rest.split(":")[0].split(","))
            if not all(0 <= channel <= 255 for channel in (red, green, blue)) or (red, green, blue) in colors:
                raise ValueError("a color that is out of range or used twice")
        except ValueError as error:
            raise ValueError(f"{path}: expected 'label:red,green,blue:parts:actions', got {line!r}: {error}") from error
        colors[red, green, blue] = name.strip()
    return colors
