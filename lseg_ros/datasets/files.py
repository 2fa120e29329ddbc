"""Find the files of a data set, and read its masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lseg_ros.image_data import MAX_FILE_PIXELS, find_images, open_header, read_file

__all__ = [
    "Pair",
    "check_pairs",
    "find_folder",
    "list_pairs",
    "read_colors",
    "read_gray",
    "read_ids",
    "read_lines",
    "target_reader",
]

_MAX_LIST_BYTES = 1 << 26
_UNKNOWN = -2  # marks an id that the data set has no class for
_T = TypeVar("_T")


class Pair(NamedTuple):
    """An image file and its mask file."""

    image: Path
    mask: Path


def find_folder(root: str | Path, *candidates: str) -> Path:
    """Return the first of ``candidates``, paths below ``root``, that is a folder.

    Raises:
        FileNotFoundError: If none of them is; the message lists them all.
        ValueError: If ``root`` is empty.
    """
    top = Path(root).expanduser()
    if not str(root):
        raise ValueError("root: expected the folder of the data set, got none")
    if not top.is_dir():
        raise FileNotFoundError(f"root: expected a folder, got {top}, which does not exist")
    for candidate in candidates:
        if (top / candidate).is_dir():
            return top / candidate
    raise FileNotFoundError(f"{top}: expected the folder {' or '.join(candidates)} in it")


def read_lines(path: Path, max_bytes: int = _MAX_LIST_BYTES) -> list[str]:
    """Return the lines of a UTF-8 text file, stripped and without blank lines.

    Only line feeds and carriage returns end a line, not U+2028 and other separators of Unicode.

    Args:
        path: The file.
        max_bytes: Largest file, by default 64 MiB, enough for a million names of images.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is too large or not UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a text file, but it does not exist or is not a regular file")
    try:
        lines = read_file(path, max_bytes).decode("utf-8-sig").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, got {error}") from error
    return [line.strip() for line in lines if line.strip()]


def list_pairs(images: Path, masks: Path, mask_candidates: Callable[[Path], list[Path]]) -> list[Pair]:
    """Find every image below ``images`` and its mask below ``masks``, sorted by path.

    Args:
        images: Folder of images; subfolders are searched.
        masks: Folder of masks.
        mask_candidates: Function from an image's path relative to ``images`` to the possible paths of its mask
            relative to ``masks``.

    Raises:
        FileNotFoundError: If an image has no mask.
        ValueError: If there are no images.
    """
    files = find_images(images, recursive=True)
    if not files:
        raise ValueError(f"{images}: expected images in it, got none")
    pairs = []
    names: dict[Path, dict[str, Path]] = {}
    for file in files:
        candidates = [masks / candidate for candidate in mask_candidates(file.relative_to(images))]
        mask = next((found for candidate in candidates if (found := _find_file(candidate, names))), None)
        if mask is None:
            raise FileNotFoundError(f"{file}: expected its mask at {' or '.join(map(str, candidates))}, got none")
        pairs.append(Pair(file, mask))
    return pairs


def check_pairs(pairs: Iterable[Pair], source: Path) -> list[Pair]:
    """Check that every file of ``pairs`` exists.

    Args:
        pairs: Pairs of files.
        source: The file or folder that lists them, for error messages.

    Raises:
        FileNotFoundError: For the first file that is missing.
        ValueError: If there are no pairs.
    """
    checked = list(pairs)
    if not checked:
        raise ValueError(f"{source}: expected it to list images, got none")
    for pair in checked:
        for path in pair:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: expected this file, which {source} lists, but it does not exist")
    return checked


def read_gray(path: Path) -> NDArray[np.uint8]:
    """Read a mask drawn in black and white as luminance, (H, W) uint8."""
    return _read_mask(path, lambda image: np.array(image.convert("L")))


def read_ids(path: Path) -> NDArray[np.integer]:
    """Read a mask of ids as (H, W) integers: palette indices or gray values, unchanged.

    EXIF orientation is not applied to masks: a mask must match the upright image.
    """
    return _read_mask(path, _ids)


def read_colors(path: Path, indices: Mapping[tuple[int, int, int], int]) -> NDArray[np.int16]:
    """Read a mask of colors as a target.

    Args:
        path: An RGB, palette or gray image.
        indices: Class index, or IGNORE, of every color that the mask may have.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not an image or has another color.
    """
    rgb = _read_mask(path, lambda image: np.array(image.convert("RGB"), np.int32))
    codes = rgb @ np.array([65536, 256, 1], np.int32)
    target = np.full(codes.shape, _UNKNOWN, np.int16)
    for (red, green, blue), index in indices.items():
        target[codes == 65536 * red + 256 * green + blue] = index
    if (target == _UNKNOWN).any():
        color = tuple(rgb[target == _UNKNOWN][0].tolist())
        raise ValueError(f"{path}: expected the colors {', '.join(map(str, indices))}, got {color}")
    return target


def target_reader(id_to_index: Mapping[int, int]) -> Callable[[Path], NDArray[np.int16]]:
    """Return a function that reads a mask and converts its ids to a target.

    Args:
        id_to_index: Class index, or IGNORE, for every id that a mask may hold.

    Returns:
        Function from the path of a mask to its (H, W) int16 target. It raises ValueError for any other id.
    """
    return partial(_read_target, id_to_index=id_to_index)


def _read_mask(path: Path, convert: Callable[[Image.Image], _T]) -> _T:
    try:
        data = read_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: expected a mask, but it does not exist") from error
    with open_header(data, str(path), MAX_FILE_PIXELS) as image:
        try:
            return convert(image)
        except Exception as error:  # Pillow's decoders raise errors of many types
            raise ValueError(f"{path}: expected a mask, got {error}") from error


def _find_file(path: Path, names: dict[Path, dict[str, Path]]) -> Path | None:
    """Find a file; its suffix may be in upper or lower case.

    Args:
        path: Path of the file.
        names: Files of each folder that was searched, by their name with a lower-case suffix; extended here.
    """
    if path.is_file():
        return path
    if path.parent not in names:
        files = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
        names[path.parent] = {file.stem + file.suffix.lower(): file for file in files if file.is_file()}
    return names[path.parent].get(path.name)


def _read_target(path: Path, id_to_index: Mapping[int, int]) -> NDArray[np.int16]:
    ids = read_ids(path)
    table = np.full(max(id_to_index) + 2, _UNKNOWN, np.int16)  # the last entry is for all ids outside the table
    table[list(id_to_index)] = list(id_to_index.values())
    target = table[ids.astype(np.int32).clip(-1, len(table) - 1)]
    if (target == _UNKNOWN).any():
        unknown = np.unique(ids[target == _UNKNOWN])
        raise ValueError(f"{path}: expected the ids {_format_ranges(id_to_index)}, got {_format_ids(unknown)}")
    return target


def _ids(image: Image.Image) -> NDArray[np.integer]:
    tiles = getattr(image, "tile", [])  # how the file stores its pixels
    raw_mode = tiles[0][3] if tiles else None
    if raw_mode in ("L;2", "L;4"):  # Pillow scales these to 8 bits, so the ids in the file are lost
        raise ValueError(f"{raw_mode[2]}-bit gray: expected a palette, or gray of 8 or 16 bits")
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise ValueError(f"mode {image.mode}: expected one channel of ids, a palette or gray of 8 or 16 bits")
    ids = np.array(image)
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def _format_ranges(ids: Iterable[int]) -> str:
    """Format ids as ranges, such as ``0 to 20, 255``."""
    ordered = sorted(ids)
    starts = [number for number in ordered if number - 1 not in ordered]
    ends = [number for number in ordered if number + 1 not in ordered]
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in zip(starts, ends))


def _format_ids(ids: NDArray[np.integer]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return ", ".join(str(number) for number in ids[:5]) + more
