"""Rules for the encoded images of files and messages."""

from __future__ import annotations

import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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

from lseg_ros.quoting import escape

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FILE_PIXELS",
    "MAX_MESSAGE_PIXELS",
    "decode_rgb",
    "decode_samples",
    "decode_unchanged",
    "find_images",
    "open_header",
    "read_file",
    "scale_to_8_bits",
]

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}  # lower case

# Limits on width * height, checked before anything is decoded. A file is chosen by the user, a message comes from any
# publisher. OpenCV and Pillow need up to 16 bytes per pixel while they decode.
MAX_FILE_PIXELS = 256_000_000
MAX_MESSAGE_PIXELS = 64_000_000

_MAX_FILE_BYTES = 1 << 31

_STDERR = 2  # its file descriptor
_stderr_lock = threading.Lock()
# How lines of libpng, libjpeg and OpenCV begin.
_DECODER_PREFIXES = (
    b"libpng ", b"Corrupt JPEG", b"Premature end of JPEG", b"Inconsistent progression", b"Invalid SOS parameters",
    b"Unknown Adobe color", b"Warning: unknown JFIF", b"[ WARN:", b"[ERROR:", b"[ INFO:",
)  # fmt: skip

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
        raise ValueError(
            f"{name}: expected an image, got {len(data)} bytes {kind} ({escape(str(error), 120)})"
        ) from error
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
    bgr = decode_samples(data, cv2.IMREAD_COLOR, name)  # applies the orientation
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def decode_samples(
    data: bytes | memoryview, flags: int, name: str, kind: str = "that are not a complete one"
) -> NDArray[np.uint8]:
    """Decode an image of 8 or 16 bits. Samples of 16 bits are scaled: 65535 becomes 255.

    Args:
        data: The encoded image, whose header ``open_header`` has checked.
        flags: Flags of ``cv2.imdecode``. They choose color or gray, and whether the orientation is applied.
        name: File or topic, with which error messages begin.
        kind: Description of the bytes, for error messages.

    Returns:
        (H, W, 3) uint8 BGR, or (H, W) uint8 with ``cv2.IMREAD_GRAYSCALE``.

    Raises:
        ValueError: If it is not a complete image of 8 or 16 bits.
    """
    pixels = decode_unchanged(data, flags | cv2.IMREAD_ANYDEPTH, name, kind)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{name}: expected samples of 8 or 16 bits, got {pixels.dtype}")
    return scale_to_8_bits(pixels) if pixels.dtype == np.uint16 else pixels


def decode_unchanged(
    data: bytes | memoryview, flags: int, name: str, kind: str = "that are not a complete one"
) -> NDArray[Any]:
    """Decode an image without a change of its samples.

    The libraries that OpenCV uses write what they object to on stderr. It becomes part of the error instead, and is
    logged at level debug if the image can be decoded.

    Args:
        data: The encoded image, whose header ``open_header`` has checked.
        flags: Flags of ``cv2.imdecode``.
        name: File or topic, with which error messages begin.
        kind: Description of the bytes, for error messages.

    Raises:
        ValueError: If it is not a complete image.
    """
    with _capture_decoder_messages() as messages:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) else None
        except cv2.error:
            pixels = None
    if pixels is None:
        reason = f" ({escape(messages[0], 120)})" if messages else ""
        raise ValueError(f"{name}: expected an image, got {len(data)} bytes {kind}{reason}")
    for text in messages:
        logger.debug("%s: %s", name, escape(text, 120))
    return np.asarray(pixels)


def scale_to_8_bits(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale 16-bit samples to 8 bits: 65535 becomes 255. Rounds to the nearest value."""
    return np.asarray(cv2.convertScaleAbs(samples, alpha=1 / 257), np.uint8).reshape(samples.shape)


@contextmanager
def _capture_decoder_messages() -> Iterator[list[str]]:
    """Collect the lines that image decoders write on stderr meanwhile.

    Python cannot intercept them otherwise, because they are written in C. Lines of other threads are written to stderr
    afterwards. Without a stderr, or on a system without ``memfd_create``, nothing is captured.
    """
    messages: list[str] = []
    with _stderr_lock:
        try:
            captured = os.memfd_create("decoder messages")
            original = os.dup(_STDERR)
        except (AttributeError, OSError):
            yield messages
            return
        try:
            os.dup2(captured, _STDERR)
            try:
                yield messages
            finally:
                os.dup2(original, _STDERR)
            if size := os.lseek(captured, 0, os.SEEK_CUR):
                for line in os.pread(captured, size, 0).splitlines(keepends=True):
                    if line.startswith(_DECODER_PREFIXES):
                        messages.append(line.decode(errors="replace").strip())
                    else:
                        os.write(original, line)
        finally:
            os.close(captured)
            os.close(original)


def _composite(image: Image.Image, size: int, name: str) -> NDArray[np.uint8]:
    """Composite an image with transparent pixels on white."""
    try:
        upright: Any = ImageOps.exif_transpose(image)
        rgba = upright.convert("RGBA")
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise ValueError(
            f"{name}: expected an image, got {size} bytes that are not a complete one ({escape(str(error), 120)})"
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
