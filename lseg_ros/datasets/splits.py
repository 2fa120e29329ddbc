"""Split files of zero-shot tests, which list the images of each class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lseg_ros.datasets.files import read_lines
from lseg_ros.datasets.restricted_pickle import restricted_loads
from lseg_ros.image_data import read_file

__all__ = ["find_split_file", "read_images_by_class", "read_split"]

_MAX_BYTES = 1 << 26  # of a pickle


def find_split_file(root: Path, splits: str, *names: str) -> Path:
    """Find a split file.

    Args:
        root: Folder of the data set.
        splits: Folder of the split files. If empty, splits/ and data/splits/ in ``root`` and data/splits/ next to
            ``root`` are searched.
        names: Possible paths in that folder, such as pascal/val/fold0.txt.

    Raises:
        FileNotFoundError: If there is none; the message lists all places.
    """
    if splits:
        folders = [Path(splits).expanduser()]
    else:
        folders = [root / "splits", root / "data/splits", root.resolve().parent / "data/splits"]
    candidates = [folder / name for folder in folders for name in names]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"splits: expected a split file at {' or '.join(map(str, candidates))}, got none")


def read_split(path: Path, classes: int) -> list[tuple[str, int]]:
    """Read a split file with lines like ``2007_000033__01``.

    Returns:
        The name of each image and the index of its class, here ``("2007_000033", 0)``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a line has another form, or there are none.
    """
    entries = []
    for line in read_lines(path):
        name, _, number = line.rpartition("__")
        if not name or not number.isdecimal() or not 1 <= int(number) <= classes:
            raise ValueError(f"{path}: expected lines like 2007_000033__01, class 1 to {classes}, got {line!r}")
        entries.append((name, int(number) - 1))
    if not entries:
        raise ValueError(f"{path}: expected lines like 2007_000033__01, got none")
    return entries


def read_images_by_class(path: Path, classes: int) -> dict[int, list[str]]:
    """Read the image names of each class.

    The file is a text file as for ``read_split``, or a pickle of the dictionary. A pickle must not refer to classes or
    functions. Nothing in it is executed.

    Returns:
        Image names by class index.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it has other contents.
    """
    if path.suffix == ".txt":
        return _group_by_class(read_split(path, classes))
    try:
        content = restricted_loads(read_file(path, _MAX_BYTES))
    except ValueError as error:
        raise ValueError(f"{path}: expected a pickle of plain lists of names, got {error}") from error
    if not _is_names_by_class(content, classes):
        raise ValueError(f"{path}: expected a dictionary from class, 0 to {classes - 1}, to a list of image names")
    return content


def _is_names_by_class(content: Any, classes: int) -> bool:
    return isinstance(content, dict) and all(
        isinstance(index, int)
        and 0 <= index < classes
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        for index, names in content.items()
    )


def _group_by_class(entries: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name, index in entries:
        groups.setdefault(index, []).append(name)
    return groups
