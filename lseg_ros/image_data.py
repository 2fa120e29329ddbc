"""Rules for the encoded images of files and messages."""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FILE_PIXELS",
    "MAX_MESSAGE_PIXELS",
    "decode_rgb",
    "find_images",
    "open_header",
    "read_file",
]

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}  # lower case

# Limits on width * height, checked before anything is decoded. A file is chosen by the user, a message comes from any
# publisher. OpenCV and Pillow need up to 16 bytes per pixel while they decode.
MAX_FILE_PIXELS = 256_000_000
MAX_MESSAGE_PIXELS = 64_000_000

_MAX_FILE_BYTES = 1 << 31

# Pillow warns about every irregular TIFF or EXIF tag, with text from the file that Python would keep.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# The classes are used instead of Image.open, which has its own limit and warns on stderr.
_READERS = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II", TiffImagePlugin.TiffImageFile),
    (b"MM", TiffImagePlugin.TiffImageFile),
    *((b"P%d" % kind, PpmImagePlugin.PpmImageFile) for kind in range(1, 7)),
)


def find_images(folder: Path, recursive: bool = False) -> list[Path]:
    """List the images in a folder, sorted by path.

    Upper-case suffixes count. Names that begin with a dot are skipped, of files (macOS writes ``._photo.jpg`` next to
    ``photo.jpg``) and of folders (such as ``.ipynb_checkpoints``).
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    return sorted(found)


def read_file(path: Path, max_bytes: int = _MAX_FILE_BYTES) -> bytes:
    """Read a regular file.

    Pipes, devices and sockets are rejected, because reading them may never end.

    Args:
        path: The file.
        max_bytes: Largest file, by default 2 GiB. The size is checked before anything is read.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a regular file, or is too large.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: expected a file or folder, but it does not exist") from error
    except ValueError as error:  # such as a null character in the path
        raise ValueError(f"{str(path)!r}: expected the path of a file, got {error}") from error
    if not stat.S_ISREG(status.st_mode):
        kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISSOCK, "socket"))
        kind = next((name for test, name in kinds if test(status.st_mode)), "device")
        raise ValueError(f"{path}: expected a regular file, got a {kind}")
    if status.st_size > max_bytes:
        raise ValueError(f"{path}: expected at most {max_bytes} bytes, got {status.st_size}")
    return path.read_bytes()


def open_header(
    data: bytes | memoryview, name: str, max_pixels: int, kind: str = "that are not a complete one"
) -> Image.Image:
    """Read the header of an encoded image and check its size. Pixels are not decoded yet.

    Args:
        data: The encoded image.
        name: File or topic, with which error messages begin.
        max_pixels: Largest valid width * height.
        kind: Description of the bytes, for error messages.

    Raises:
        ValueError: If the data are not an image (JPEG, PNG, BMP, WebP, TIFF or PNM), or it has more than
            ``max_pixels``.
    """
    head = bytes(data[:32])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        _check_size(*_webp_size(head), name, max_pixels)  # Pillow allocates all pixels when it opens the header
        reader: Any = WebPImagePlugin.WebPImageFile
    else:
        reader = next((reader for signature, reader in _READERS if head.startswith(signature)), None)
    if reader is None:
        raise ValueError(f"{name}: expected an image, got {len(data)} bytes {kind}")
    try:
        image: Image.Image = reader(io.BytesIO(data))
        width, height = image.size
    except Exception as error:  # Pillow's readers raise errors of many types for broken headers
        raise ValueError(f"{name}: expected an image, got {len(data)} bytes {kind} ({error})") from error
    _check_size(width, height, name, max_pixels)
    return image


def decode_rgb(data: bytes, name: str, max_pixels: int = MAX_FILE_PIXELS) -> NDArray[np.uint8]:
    """Decode an image to (H, W, 3) uint8 RGB, upright: its EXIF orientation is applied.

    Gray and palette images become RGB. Samples of 16 bits are scaled: 65535 becomes 255. Transparent pixels are
    composited on white.

    Args:
        data: The encoded image.
        name: File, with which error messages begin.
        max_pixels: Largest valid width * height.

    Raises:
        ValueError: If it is not a complete image of 8 or 16 bits, or is larger than ``max_pixels``.
    """
    header = open_header(data, name, max_pixels)
    if header.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in header.info:
        return _composite(header, len(data), name)
    if header.mode == "F":
        raise ValueError(f"{name}: expected samples of 8 or 16 bits, got float32")
    try:  # OpenCV applies the orientation by default
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise ValueError(f"{name}: expected an image, got {len(data)} bytes that are not a complete one")
    if bgr.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{name}: expected samples of 8 or 16 bits, got {bgr.dtype}")
    if bgr.dtype == np.uint16:
        bgr = cv2.convertScaleAbs(bgr, alpha=1 / 257)  # rounds
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _composite(image: Image.Image, size: int, name: str) -> NDArray[np.uint8]:
    """Composite an image with transparent pixels on white."""
    try:
        upright: Any = ImageOps.exif_transpose(image)
        rgba = upright.convert("RGBA")
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise ValueError(
            f"{name}: expected an image, got {size} bytes that are not a complete one ({error})"
        ) from error
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return np.array(Image.alpha_composite(white, rgba).convert("RGB"))


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise ValueError(
            f"{name}: expected an image of at most {max_pixels / 1e6:g} megapixels, got {width}x{height} pixels"
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Return width and height of a WebP file (RFC 9649, sections 2.5 to 2.7)."""
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
