"""Small image files in all formats and modes, as seeds of damaged ones."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["IMAGES", "PNG", "image_bytes"]


@functools.cache
def image_bytes(format: str, mode: str, **options: Any) -> bytes:
    """Encode an image of 13x9 pixels."""
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8))
    image = Image.new(mode, pixels.size, 4000) if mode.startswith(("I", "F")) else pixels.convert(mode)
    if options.pop("exif", False):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6  # orientation
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


PNG = [image_bytes("PNG", mode) for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")]
PNG += [image_bytes("PNG", "P", transparency=0), image_bytes("PNG", "RGB", exif=True)]
IMAGES = [
    *(image_bytes("JPEG", mode, exif=True) for mode in ("L", "RGB", "CMYK")),
    *(image_bytes("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(image_bytes("WEBP", mode, lossless=lossless) for mode in ("RGB", "RGBA") for lossless in (False, True)),
    *(image_bytes("TIFF", mode, exif=True) for mode in ("1", "L", "P", "RGB", "RGBA", "I;16", "I", "F")),
    image_bytes("TIFF", "RGB", compression="tiff_lzw"),
    *(image_bytes("PPM", mode) for mode in ("1", "L", "RGB", "I;16")),
]
