"""The split files of zero-shot tests: which images ask for which class. They are those of the few-shot literature."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lseg_ros.datasets.files import read_lines
from lseg_ros.datasets.restricted_pickle import restricted_loads

__all__ = ["find_split_file", "read_images_by_class", "read_split"]


def find_split_file(root: Path, splits: str, *names: str) -> Path:
    """The first of ``names``, such as pascal/val/fold0.txt, that is in the folder of split files.

    That folder is ``splits``, or else splits/ or data/splits/ in ``root`` or data/splits/ beside it. Raises
    FileNotFoundError that names the first place and the others.
    """
    if splits:
        folders = [Path(splits).expanduser()]
    else:
        folders = [root / "splits", root / "data/splits", root.resolve().parent / "data/splits"]
    candidates = [folder / name for folder in folders for name in names]
    for each in candidates:
        if each.is_file():
            return each
    raise FileNotFoundError(f"splits: expected a split file at {' or '.join(map(str, candidates))}, none is there")


def read_split(path: Path, classes: int) -> list[tuple[str, int]]:
    """Lines ``2007_000033__01`` as (``2007_000033``, 0): an image's name and the index of the class asked for."""
    found = []
    for line in read_lines(path):
        name, _, number = line.rpartition("__")
        if not name or not number.isdecimal() or not 1 <= int(number) <= classes:
            raise ValueError(f"{path}: expected lines like 2007_000033__01, class 1 to {classes}, got {line!r}")
        found.append((name, int(number) - 1))
    if not found:
        raise ValueError(f"{path}: expected lines like 2007_000033__01, got none")
    return found


def read_images_by_class(path: Path, classes: int) -> dict[int, list[str]]:
    """Class index -> names of its images, from a pickle of such a dictionary or from a text file of ``read_split``.

    A pickle may hold nothing but dictionaries, lists, texts and numbers: whatever else it asks for is refused by name
    and never run.
    """
    if path.suffix == ".txt":
        return _grouped(read_split(path, classes))
    try:
        content = restricted_loads(path.read_bytes())
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


def _grouped(asked: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name, index in asked:
        groups.setdefault(index, []).append(name)
    return groups
