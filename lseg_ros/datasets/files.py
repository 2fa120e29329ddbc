"""Files of a data set: where they are, and what images and masks hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Pair", "check_pairs", "find_folder", "list_pairs", "read_gray", "read_ids", "read_lines", "target_reader"]

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}
_NOWHERE = -2  # stands for an id that the data set has no word for
_T = TypeVar("_T")


class Pair(NamedTuple):
    """An image and the mask that belongs to it."""

    image: Path
    mask: Path


def find_folder(root: str | Path, *candidates: str) -> Path:
    """The first of ``candidates``, folders below ``root``, that is there; FileNotFoundError that names them all."""
    top = Path(root).expanduser()
    if not str(root):
        raise ValueError("root: expected the folder of the data set, got none")
    if not top.is_dir():
        raise FileNotFoundError(f"root: expected a folder, got {top}, which is not there")
    for each in candidates:
        if (top / each).is_dir():
            return top / each
    raise FileNotFoundError(f"{top}: expected the folder {' or '.join(candidates)} in it")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped, without blank ones; the errors name the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a text file, it is not there")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, got {error}") from error
    return [line.strip() for line in lines if line.strip()]


def list_pairs(images: Path, masks: Path, mask_of: Callable[[Path], list[Path]]) -> list[Pair]:
    """Every image below ``images`` with its mask below ``masks``, in the order of their paths.

    mask_of: from an image's path below ``images`` to the paths that its mask may have below ``masks``. Raises
    ValueError where there is no image, FileNotFoundError where an image has no mask.
    """
    files = sorted(file for file in images.rglob("*") if file.suffix.lower() in _IMAGES and file.name[0] != ".")
    if not files:
        raise ValueError(f"{images}: expected images in it, got none")
    pairs = []
    for file in files:
        candidates = [masks / each for each in mask_of(file.relative_to(images))]
        mask = next((each for each in candidates if each.is_file()), None)
        if mask is None:
            places = " or ".join(map(str, candidates))
            raise FileNotFoundError(f"{file}: expected its mask at {places}, it is not there")
        pairs.append(Pair(file, mask))
    return pairs


def check_pairs(pairs: Iterable[Pair], source: Path) -> list[Pair]:
    """``pairs`` as ``source`` lists them; FileNotFoundError for the first file missing, ValueError for none listed."""
    checked = list(pairs)
    if not checked:
        raise ValueError(f"{source}: expected it to list images, got none")
    for pair in checked:
        for path in pair:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: expected this file, which {source} lists, it is not there")
    return checked


def read_gray(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 luminance of a mask that is drawn rather than numbered."""
    return _read_mask(path, lambda image: np.array(image.convert("L")))


def read_ids(path: Path) -> NDArray[np.integer]:
    """(H, W) integers of a mask: palette indices or gray values, as they are in the file."""
    return _read_mask(path, _ids)


def target_reader(index_of: Mapping[int, int]) -> Callable[[Path], NDArray[np.int16]]:
    """What reads a mask as (H, W) int16 target by ``index_of``; an id that is not in it is a ValueError."""
    return partial(_target, index_of=index_of)


def _read_mask(path: Path, convert: Callable[[Image.Image], _T]) -> _T:
    try:
        with Image.open(path) as image:
            return convert(image)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: expected a mask, it is not there") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # broken, or beyond all measure
        raise ValueError(f"{path}: expected a mask, got {error}") from error


def _target(path: Path, index_of: Mapping[int, int]) -> NDArray[np.int16]:
    ids = read_ids(path)
    table = np.full(max(index_of) + 2, _NOWHERE, np.int16)  # the last stands for all ids below and above
    table[list(index_of)] = list(index_of.values())
    target = table[ids.astype(np.int32).clip(-1, len(table) - 1)]
    if (target == _NOWHERE).any():
        strange = np.unique(ids[target == _NOWHERE])
        raise ValueError(f"{path}: expected the ids {_spans(index_of)}, got {_listed(strange)}")
    return target


def _ids(image: Image.Image) -> NDArray[np.integer]:
    tiles = getattr(image, "tile", [])  # how the file stores its pixels
    raw = tiles[0][3] if tiles else None
    if raw in ("L;2", "L;4"):  # Pillow stretches these to 8 bits; nobody can say which of the two was meant
        raise ValueError(f"{raw[2]}-bit gray: expected a palette, or gray of 8 or 16 bits")
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise ValueError(f"mode {image.mode}: expected one channel of ids, a palette or gray of 8 or 16 bits")
    ids = np.array(image)
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def _spans(ids: Iterable[int]) -> str:
    """Such as ``0 to 20, 255``."""
    ordered = sorted(ids)
    starts = [each for each in ordered if each - 1 not in ordered]
    ends = [each for each in ordered if each + 1 not in ordered]
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in zip(starts, ends))


def _listed(ids: NDArray[np.integer]) -> str:
    return ", ".join(str(each) for each in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
