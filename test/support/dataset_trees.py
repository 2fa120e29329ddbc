"""Write small data sets of images and masks for tests, and read images that tests produce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag

# Images and masks are PNG files regardless of their suffix: PNG is lossless, and readers detect the format.


def write_image(path: Path, width: int = 4, height: int = 3) -> NDArray[np.uint8]:
    """Write an image whose pixels depend on its name.

    Returns:
        The pixels, (height, width, 3) uint8 RGB.
    """
    pixels = np.random.default_rng(list(path.name.encode())).integers(0, 256, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")
    return pixels


def write_mask(path: Path, ids: Any, palette: bool = False) -> None:
    """Write a mask: 8-bit gray, 16-bit gray if ``ids`` is uint16, or palette indices."""
    mask = Image.fromarray(np.asarray(ids if isinstance(ids, np.ndarray) else np.array(ids, np.uint8)))
    if palette:
        mask.putpalette([7 * channel % 256 for channel in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path, format="PNG")


def read_unchanged(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit image file without conversion: (H, W), or (H, W, 3) BGR."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return np.asarray(pixels, np.uint8)


def write_text(path: Path, *lines: str) -> Path:
    """Write lines to a file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_photo(path: Path, width: int = 64, height: int = 96) -> NDArray[np.uint8]:
    """Write a JPEG as a phone held upright does: stored on its side, with EXIF orientation 6.

    Returns:
        The upright image, (height, width, 3) uint8 RGB: red at the top, green at the bottom left, blue at the
        bottom right. JPEG changes its values slightly.
    """
    upright = np.empty((height, width, 3), np.uint8)
    upright[: height // 3] = 200, 30, 30
    upright[height // 3 :, : width // 2] = 30, 200, 30
    upright[height // 3 :, width // 2 :] = 30, 30, 200
    exif = Image.Exif()
    exif[_ORIENTATION] = 6  # turn the stored image by 90 degrees clockwise to view it
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rot90(upright)).save(path, format="JPEG", quality=95, subsampling=0, exif=exif)
    return upright
