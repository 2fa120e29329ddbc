"""Detect the format of a folder of annotations, and open it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from lseg_ros.datasets.annotations.coco import read_coco
from lseg_ros.datasets.annotations.cvat import open_cvat_masks, read_cvat
from lseg_ros.datasets.annotations.labelme import read_labelme
from lseg_ros.datasets.annotations.photos import build_dataset, read_json, read_xml
from lseg_ros.datasets.annotations.roboflow import find_class_tables, open_roboflow
from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.sample import LabeledImages

__all__ = ["open_annotations"]


def open_annotations(config: DatasetConfig, root: Path, masks: Path | None) -> LabeledImages | None:
    """Open the annotations in a folder.

    Args:
        config: ``annotations`` names the format, or is ``auto``.
        root: Folder of the data set.
        masks: A folder of masks, to name if the format is ambiguous.

    Returns:
        The data set, or None if the format is ``auto`` and the folder has no annotations of a known format.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there are annotations in several formats, or a file is not valid.
    """
    name = config.annotations
    labelme, coco = _read_json_files(root) if name in ("auto", "labelme", "coco") else ({}, {})
    cvat = _read_xml_files(root) if name in ("auto", "cvat") else {}
    examples = {
        "labelme": next(iter(labelme), None),
        "coco": next(iter(coco), None),
        "cvat": next(iter(cvat), None),
        "cvat_masks": root / "labelmap.txt" if _has_cvat_masks(root) else None,
        "roboflow": next(iter(find_class_tables(root)), None),
    }
    found = [kind for kind, example in examples.items() if example]
    if name == "auto":
        if len(found) + (masks is not None and bool(found)) > 1:
            listed = {**examples, "masks": masks}
            text = ", ".join(f"{kind} ({example})" for kind, example in listed.items() if example)
            raise ValueError(f"{root}: expected annotations in one format, got {text}; choose one with --annotations")
        if not found:
            return None
        name = found[0]
    elif name not in found:
        raise FileNotFoundError(f"{root}: expected annotations in the format {name}, got {', '.join(found) or 'none'}")
    if name == "roboflow":
        return open_roboflow(config, root)
    if name == "cvat_masks":
        return open_cvat_masks(config, root)
    if name == "labelme":
        return build_dataset(read_labelme(root, labelme), config, root)
    return build_dataset(read_coco(root, coco) if name == "coco" else read_cvat(root, cvat), config, root)


def _read_json_files(root: Path) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """Return the contents of the labelme files and of the COCO files below a folder.

    Other files are skipped.
    """
    labelme: dict[Path, Any] = {}
    coco: dict[Path, Any] = {}
    for path in sorted(root.rglob("*.json")):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        document = read_json(path)
        if not isinstance(document, dict):
            continue
        if isinstance(document.get("shapes"), list):
            document.pop("imageData", None)  # the whole photo
            labelme[path] = document
        elif all(isinstance(document.get(name), list) for name in ("images", "annotations", "categories")):
            coco[path] = document
    return labelme, coco


def _read_xml_files(root: Path) -> dict[Path, Element]:
    """Return the root elements of the CVAT files in a folder."""
    documents = {path: read_xml(path) for path in sorted(root.glob("*.xml"))}
    return {path: document for path, document in documents.items() if document.tag == "annotations"}


def _has_cvat_masks(root: Path) -> bool:
    return (root / "labelmap.txt").is_file() and (root / "SegmentationClass").is_dir()
