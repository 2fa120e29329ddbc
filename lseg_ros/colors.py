"""The color of a label: one that follows from its name and is far from those that others have."""

from __future__ import annotations

import colorsys
import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Color", "parse_color", "pick_color"]

Color = tuple[int, int, int]  # RGB, 0 to 255

# Saturation and value of a label's color: strong, pale and dark, and where those have been taken, what lies between.
_TONES = (
    ((0.95, 0.95), (0.55, 1.0), (0.9, 0.6)),
    ((0.3, 0.95), (0.95, 0.78), (0.6, 0.75)),
    ((0.55, 0.5), (0.95, 0.4), (0.25, 0.7)),
    ((0.75, 0.95), (0.75, 0.6), (0.15, 0.9)),
)
_HUES = 48  # for each of the four
_FAR = 150.0  # apart: red and orange are about 260, black and white 765


def pick_color(name: str, taken: Sequence[Color] = ()) -> Color:
    """A label's color: the first of those that follow from its name that is far from all taken, or else the farthest.

    They are a golden section apart in hue.
    """
    bits = zlib.crc32(name.casefold().encode())
    candidates = []
    for number, tones in ((number, tones) for tones in _TONES for number in range(_HUES)):
        hue = ((bits & 0xFFFF) / 0x10000 + number * 0.618034) % 1.0
        saturation, value = tones[((bits >> 16) + number) % 3]
        red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
        candidates.append((red, green, blue))
    if not taken:
        return candidates[0]
    nearest = _distances(np.array(candidates), np.array(taken)).min(axis=1)
    far = np.flatnonzero(nearest >= _FAR)
    return candidates[int(far[0] if len(far) else nearest.argmax())]


def parse_color(text: str, name: str) -> Color | None:
    """``#rrggbb`` -> RGB, ``""`` -> None; ValueError naming the label otherwise."""
    if text == "":
        return None
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(f"color of {name!r}: expected '#rrggbb' or '' for an automatic one, got {text!r}")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _distances(colors: NDArray[np.int_], others: NDArray[np.int_]) -> NDArray[np.float64]:
    """(N, 3) and (M, 3) RGB -> (N, M), how different they look: Euclidean, weighted by the mean red ("redmean")."""
    red, green, blue = np.moveaxis(colors[:, None] - others, -1, 0).astype(float)
    mean_red = (colors[:, None, 0] + others[:, 0]) / 2
    squared = (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2
    return np.sqrt(squared)  # type: ignore[no-any-return]
