"""Text in pictures, in every script of Unicode's basic plane.

The text functions of OpenCV before version 5 draw a question mark for every character that is not ASCII.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_text", "text_width"]

_FONTS = ("DejaVuSans.ttf", "unifont.otf")  # the first that has a character draws it; see fonts/README.md
_GRID = 16  # Unifont's glyphs are drawn on a grid of this size, and are sharp only at its multiples
_BASIC_LAYOUT: Any = 0  # one glyph per character; its name in Pillow depends on the version
_REPLACEMENT = "\ufffd"  # for characters that cannot be drawn, such as control characters
_NONCHARACTER = "\uffff"  # no font has it


def draw_text(
    picture: NDArray[np.uint8], text: str, origin: tuple[int, int], size: int, color: tuple[int, int, int]
) -> None:
    """Draw a line of text into a picture. What lies outside the picture is cut off.

    Args:
        picture: (H, W, 3) uint8, changed in place.
        text: The text. Arabic and Hebrew are drawn from right to left.
        origin: Left end of the baseline, as column and row.
        size: Font size in pixels. Capital letters have 0.73 of it.
        color: Color of the text.
    """
    coverage = _render(text, size)
    height, width = coverage.shape
    left, top = origin[0], origin[1] - _ascent(size)
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    area = picture[rows, columns]
    visible = coverage[rows.start - top :, columns.start - left :][: area.shape[0], : area.shape[1], None]
    area[:] = np.rint(area + (np.array(color, np.float32) - area) * visible)


def text_width(text: str, size: int) -> int:
    """Return the width of a line of text in pixels."""
    return _render(text, size).shape[1]


@functools.lru_cache(1024)
def _render(text: str, size: int) -> NDArray[np.float32]:
    """Render a line as coverage from 0 to 1, with the baseline at row ``_ascent(size)``."""
    runs = [(run, _font(font, size)) for font, run in _split(text)]
    lengths = [math.ceil(font.getlength(run)) for run, font in runs]
    image = Image.new("L", (max(sum(lengths), 1), _ascent(size) + size // 2))
    draw, left = ImageDraw.Draw(image), 0
    for (run, font), length in zip(runs, lengths):
        draw.text((left, _ascent(size)), run, fill=255, font=font, anchor="ls")
        left += length
    coverage = np.asarray(image, np.float32) / np.float32(255)
    coverage.flags.writeable = False  # it is shared
    return coverage


def _ascent(size: int) -> int:
    return size + size // 4


def _split(text: str) -> list[tuple[int, str]]:
    """Split a text into runs, each with the index of a font that can draw it."""
    runs: list[tuple[int, str]] = []
    for character in text:
        if not character.isprintable():
            character = _REPLACEMENT
        font = next((index for index in range(len(_FONTS)) if _has_glyph(index, character)), len(_FONTS) - 1)
        if runs and (runs[-1][0] == font or character == " " or unicodedata.combining(character)):
            runs[-1] = (runs[-1][0], runs[-1][1] + character)
        else:
            runs.append((font, character))
    return runs


@functools.lru_cache(4096)
def _has_glyph(font: int, character: str) -> bool:
    plain = _font(font, _GRID, _BASIC_LAYOUT)  # the other engine adds a circle to an accent without a letter
    missing, glyph = plain.getmask(_NONCHARACTER), plain.getmask(character)
    return (glyph.size, bytes(glyph)) != (missing.size, bytes(missing))


@functools.cache
def _font(font: int, size: int, layout: Any = None) -> ImageFont.FreeTypeFont:
    if font > 0 and size > _GRID * 3 // 4:
        size = round(size / _GRID) * _GRID
    return ImageFont.truetype(str(Path(__file__).with_name("fonts") / _FONTS[font]), size, layout_engine=layout)
