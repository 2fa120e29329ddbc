"""Annotated photos, and the code that their formats share.

It handles labels and splits, and finds and reads files.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np

from lseg_ros.datasets.annotations.regions import Region
from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.labels import read_label_list
from lseg_ros.datasets.pairs import checked_index
from lseg_ros.datasets.sample import IGNORE, Sample
from lseg_ros.image_data import IMAGE_SUFFIXES
from lseg_ros.recordings import read_rgb

__all__ = [
    "AnnotatedImages",
    "Annotations",
    "Photo",
    "build_dataset",
    "find_image",
    "index_labels",
    "read_json",
    "read_xml",
    "select_split",
    "split_name",
    "with_suffixes",
]

_LOG = logging.getLogger(__name__)
_MAX_FILE_BYTES = 2**29  # COCO's largest file has 470 MB
_IGNORED_LABEL = "__ignore__"  # as in the label files of labelme
_BACKGROUND = "background"
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Photo:
    """An image and its annotations.

    Attributes:
        image: Image file.
        source: File that holds the annotations.
        split: ``train``, ``val``, ``test``, or empty.
        size: (width, height) of the image according to the annotations, None if they do not tell.
        areas: Label and region of each annotation; later ones cover earlier ones.
    """

    image: Path
    source: Path
    split: str
    size: tuple[int, int] | None
    areas: tuple[tuple[str, Region], ...]


@dataclass
class Annotations:
    """What a reader of one format found.

    Attributes:
        photos: The annotated photos.
        names: Names of the labels, in the order of the format.
        skipped: Number of annotations without an area, by kind.
    """

    photos: list[Photo] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """A data set of photos with annotated areas, read and drawn when a sample is accessed.

    Attributes:
        classes: Label list.
        photos: The photos.
        name_to_index: Class index, or IGNORE, of each name that the annotations use.
        unlabeled: Class index, or IGNORE, of pixels outside all areas.
    """

    classes: tuple[str, ...]
    photos: Sequence[Photo]
    name_to_index: Mapping[str, int]
    unlabeled: int

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Sample:
        photo = self.photos[checked_index(index, len(self))]
        image = read_rgb(photo.image)
        height, width = image.shape[:2]
        if photo.size not in (None, (width, height)):
            raise ValueError(
                f"{photo.source}: expected annotations for {width}x{height} pixels, the size of the upright image "
                f"{photo.image}, got {'x'.join(map(str, photo.size or ()))}"
            )
        target = np.full((height, width), self.unlabeled, np.int16)
        for name, region in photo.areas:
            try:
                region.paint(target, self.name_to_index[name])
            except ValueError as error:
                raise ValueError(f"{photo.source}: {photo.image.name}, {name!r}: {error}") from error
        return Sample(image, target)

    def name(self, index: int) -> str:
        """Return the path of the image."""
        return str(self.photos[index].image)


def build_dataset(found: Annotations, config: DatasetConfig, root: Path) -> AnnotatedImages:
    """Choose the labels and the photos of the split of ``config``.

    Photos of the split ``test`` are not used. Without a background label, photos without an area are left out.

    Raises:
        ValueError: If no photo remains, or an annotation has a label that the label list does not contain.
    """
    photos = sorted((photo for photo in found.photos if photo.split != "test"), key=lambda photo: photo.image)
    for first, second in itertools.pairwise(photos):
        if first.image == second.image:
            raise ValueError(f"{first.image}: expected annotations in one file, got {first.source} and {second.source}")
    used = dict.fromkeys(name for photo in photos for name, _ in photo.areas)
    skipped = ", ".join(f"{count} {kind}" for kind, count in found.skipped.items())
    if skipped:
        _LOG.warning("%s: annotations without an area are not used: %s", root, skipped)
    if not used:
        raise ValueError(f"{root}: expected annotated areas, got {len(photos)} images without any")
    classes, name_to_index, unlabeled = index_labels(found.names or sorted(used, key=str.casefold), config, root, used)
    kept = [photo for photo in photos if photo.areas or unlabeled != IGNORE]
    if len(kept) < len(photos):
        _LOG.warning("%s: %d images without annotations are not used", root, len(photos) - len(kept))
    chosen = select_split([(photo.split, photo) for photo in kept], config.split, root)
    return AnnotatedImages(classes, chosen, name_to_index, unlabeled)


def index_labels(
    names: Iterable[str], config: DatasetConfig, root: Path, used: Iterable[str] = ()
) -> tuple[tuple[str, ...], dict[str, int], int]:
    """Assign the label names of annotations to classes.

    The classes are the entries of ``config.labels`` or of labels.txt in ``root``, otherwise the names themselves.
    Names match an entry or one of its synonyms; case, spaces and underscores do not matter.

    Args:
        names: All label names of the annotations.
        config: Settings ``labels`` and ``background``.
        root: Folder of the data set.
        used: Names that must be in the label list.

    Returns:
        Classes; class index or IGNORE of each name; class index or IGNORE of pixels without an annotation.

    Raises:
        ValueError: If the label list does not contain one of ``used``, or there are no labels.
    """
    file = Path(config.labels) if config.labels else root / "labels.txt"
    listed = bool(config.labels) or file.is_file()
    entries = [entry for entry in read_label_list(file).values() if entry] if listed else [*names]
    word_to_entry: dict[str, str] = {}
    for entry in entries:
        words = [entry, *entry.split("|")]
        is_background = any(_key(word) == _BACKGROUND for word in words)
        ignored = entry.split("|")[0].strip() == _IGNORED_LABEL or (is_background and not config.background)
        shown = (
            "" if ignored else _BACKGROUND if _key(entry) == _BACKGROUND else " ".join(entry.replace("_", " ").split())
        )
        for word in words:
            word_to_entry.setdefault(_key(word), shown)
    classes = tuple(dict.fromkeys(entry for entry in word_to_entry.values() if entry))
    if not classes:
        raise ValueError(f"{file if listed else root}: expected labels, got none")
    index = {entry: number for number, entry in enumerate(classes)}
    word_to_index = {word: index.get(entry, IGNORE) for word, entry in word_to_entry.items()}
    for name in used:
        if _key(name) not in word_to_index and _key(name) != _BACKGROUND and name != _IGNORED_LABEL:
            raise ValueError(f"{file}: expected the label {name!r} of the annotations in it, got {', '.join(classes)}")
    name_to_index = {name: word_to_index.get(_key(name), IGNORE) for name in (*names, *used)}
    return classes, name_to_index, word_to_index.get(_BACKGROUND, IGNORE)


def select_split(items: Sequence[tuple[str, _T]], split: str, root: Path) -> list[_T]:
    """Return the items of a split.

    Args:
        items: Split name (``train``, ``val``, ``test`` or empty) and item, in order.
        split: ``train`` or ``val``. If no item is in ``val``, every fifth of the others is, from the first on.
        root: Folder of the data set, for the error message.

    Raises:
        ValueError: If the split is empty.
    """
    used = [(name, item) for name, item in items if name != "test"]
    has_val = any(name == "val" for name, _ in used)
    in_val = [name == "val" if has_val else index % 5 == 0 for index, (name, _) in enumerate(used)]
    chosen = [item for is_val, (_, item) in zip(in_val, used) if is_val == (split == "val")]
    if not chosen:
        raise ValueError(f"{root}: expected annotated images for the split {split}, got none")
    return chosen


def split_name(path: Path) -> str:
    """Return the split that a relative path names, or an empty string.

    The last part of the path whose last word is train, val, valid, validation or test decides: ``valid/a.json``,
    ``annotations/instances_train2017.json``.
    """
    for part in reversed((*path.parts[:-1], path.stem)):
        words = "".join(letter if letter.isalpha() else " " for letter in part.casefold()).split()
        if words and words[-1] in _SPLITS:
            return _SPLITS[words[-1]]
    return ""


def find_image(root: Path, source: Path, candidates: Iterable[Path]) -> Path:
    """Return the first of ``candidates`` that is an image file below ``root``.

    Raises:
        FileNotFoundError: If none of them is; the message names ``source`` and the candidates.
    """
    top = _normalize(Path.cwd() / root)  # not resolved: links inside the folder may lead out of it
    tried: dict[Path, None] = {}
    for candidate in candidates:
        path = _normalize(candidate)
        if not (Path.cwd() / path).is_relative_to(top):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():  # some files of labelme name themselves
            return path
        tried[path] = None
    listed = [str(path) if str(path).isprintable() else repr(str(path)) for path in [*tried][:4]]
    raise FileNotFoundError(f"{source}: expected its image at {' or '.join(listed)}, got none")


def with_suffixes(path: Path) -> list[Path]:
    """Return the path of an image without a suffix with each suffix that it may have."""
    suffixes = sorted(IMAGE_SUFFIXES)
    return [path.with_name(path.name + suffix) for suffix in (*suffixes, *map(str.upper, suffixes))]


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: If the file is too large or not JSON.
    """
    try:
        return json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON file, got {error}") from error


def read_xml(path: Path) -> ElementTree.Element:
    """Read an XML file and return its root element.

    Raises:
        ValueError: If the file is too large, not XML in UTF-8, or has a document type, which can expand entities.
    """
    try:
        text = _read_text(path)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("a document type, which annotations do not need")
        return ElementTree.fromstring(text)
    except (ValueError, ElementTree.ParseError) as error:
        raise ValueError(f"{path}: expected an XML file, got {error}") from error


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > _MAX_FILE_BYTES:
        raise ValueError(f"{size} bytes, more than {_MAX_FILE_BYTES}")
    return path.read_text(encoding="utf-8-sig")


def _normalize(path: Path) -> Path:
    """Remove ``..`` and ``.`` from a path."""
    return Path(os.path.normpath(path))


def _key(name: str) -> str:
    """Return a label name without case, surrounding underscores, and extra spaces."""
    return " ".join(name.replace("_", " ").casefold().split())
