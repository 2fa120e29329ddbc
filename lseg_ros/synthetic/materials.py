"""Paints: two colors and the texture that mixes them."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lseg_ros.synthetic.classes import COLORS

__all__ = [
    "Paint",
    "Texture",
    "mix_weight",
    "named_paint",
    "random_paint",
    "rgb_paint",
    "smooth_noise",
    "srgb_to_linear",
]

Array = NDArray[Any]
RGB = tuple[float, float, float]


class Texture(IntEnum):
    """How a paint mixes its two colors."""

    PLAIN = 0  # slightly mottled
    CHECKS = 1
    STRIPES = 2
    WOOD = 3
    NOISE = 4  # strongly mottled
    TILES = 5  # thin lines of the second color
    BRICKS = 6
    TUFTS = 7  # fine and high contrast, for grass and leaves
    GLOW = 8  # emits light, not shaded


class Paint(NamedTuple):
    """Two colors and the texture that mixes them.

    Attributes:
        texture: The texture.
        a: First color, linear RGB.
        b: Second color, linear RGB.
        per_m: Repetitions of the texture per meter.
        name: Name of the color in ``COLORS``, or None if it has no name.
    """

    texture: Texture
    a: RGB
    b: RGB
    per_m: float = 4.0
    name: str | None = None

    def lighten(self, share: float) -> Paint:
        """Mix a share of white into both colors."""
        return self._replace(a=_toward(self.a, 0.8, share), b=_toward(self.b, 0.8, share))

    def shade(self, factor: float) -> Paint:
        """Multiply both colors by a factor."""
        return self._replace(a=_scaled(self.a, factor), b=_scaled(self.b, factor))


def _toward(color: RGB, white: float, share: float) -> RGB:
    r, g, b = color
    return r + (white - r) * share, g + (white - g) * share, b + (white - b) * share


def _scaled(color: RGB, factor: float) -> RGB:
    r, g, b = color
    return min(1.0, r * factor), min(1.0, g * factor), min(1.0, b * factor)


def srgb_to_linear(rgb: tuple[float, float, float]) -> RGB:
    """Convert sRGB 0..255 to linear 0..1, with a square root as the transfer curve."""
    r, g, b = ((max(0.0, channel) / 255.0) ** 2 for channel in rgb)
    return r, g, b


def rgb_paint(rgb: tuple[float, float, float], texture: Texture = Texture.PLAIN, per_m: float = 4.0) -> Paint:
    """Return paint of one sRGB color, mixed with a darker variant of it."""
    a = srgb_to_linear(rgb)
    return Paint(texture, a, (a[0] * 0.6, a[1] * 0.6, a[2] * 0.6), per_m)


def named_paint(rng: np.random.Generator, name: str, textures: tuple[Texture, ...] = ()) -> Paint:
    """Draw a paint of a named color.

    Both of its colors are near the mean of the name, so that the name is correct everywhere.
    """
    base = np.asarray(COLORS[name], np.float64)
    base = np.clip(base * rng.uniform(0.86, 1.1) + rng.normal(0.0, 6.0, 3), 6, 250)
    other = base * rng.uniform(0.62, 0.9) if base.mean() > 70 else base * rng.uniform(1.3, 1.9)
    texture = textures[rng.integers(len(textures))] if textures else Texture.PLAIN
    return Paint(texture, srgb_to_linear(tuple(base)), srgb_to_linear(tuple(other)), float(rng.uniform(3.0, 9.0)), name)


def random_paint(rng: np.random.Generator, textures: tuple[Texture, ...] = ()) -> Paint:
    """Draw a paint of any named color."""
    names = tuple(COLORS)
    return named_paint(rng, names[rng.integers(len(names))], textures)


@lru_cache(maxsize=1)
def smooth_noise() -> Array:
    """Return (256 * 256,) float32 smooth periodic noise in 0..1, which all textures use."""
    rng = np.random.Generator(np.random.PCG64(20))
    total = np.zeros((256, 256))
    for cells, weight in ((32, 1.0), (64, 0.6), (128, 0.45), (256, 0.3)):
        layer = np.kron(rng.random((cells, cells)), np.ones((256 // cells, 256 // cells)))
        for _ in range(2):
            for shift in (1, 256 // cells // 2 or 1):
                layer = (np.roll(layer, shift, 0) + 2 * layer + np.roll(layer, -shift, 0)) / 4
                layer = (np.roll(layer, shift, 1) + 2 * layer + np.roll(layer, -shift, 1)) / 4
        total += weight * (layer - layer.mean()) / layer.std()
    total = total / total.std() / 5 + 0.5
    return np.clip(total, 0, 1).astype(np.float32).ravel()


def _noise(u: Array, v: Array) -> Array:
    """Sample the noise at texture coordinates; one unit is 32 cells."""
    row, column = (v * 32).astype(np.int32) & 255, (u * 32).astype(np.int32) & 255
    return smooth_noise().take((row << 8) | column)


def mix_weight(texture: int, u: Array, v: Array, per_m: Array, pixel_m: Array) -> Array:
    """Return the weight of the second color at surface points.

    Args:
        texture: A ``Texture``.
        u: (N,) meters along the surface.
        v: (N,) meters along the surface.
        per_m: (N,) repetitions of the texture per meter.
        pixel_m: (N,) size of a pixel on the surface in meters. Finer textures fade to their mean.

    Returns:
        (N,) float32 in 0..1.
    """
    su, sv = u * per_m + 1000.0, v * per_m + 1000.0  # positive, so that truncation is floor
    if texture == Texture.CHECKS:
        value, mean = ((su.astype(np.int32) + sv.astype(np.int32)) & 1).astype(np.float32), 0.5
    elif texture == Texture.STRIPES:
        value, mean = ((su * 2).astype(np.int32) & 1).astype(np.float32), 0.5
    elif texture == Texture.WOOD:
        plank = (sv * 0.5).astype(np.int32)
        value, mean = 0.75 * _noise(su * 0.06 + plank * 0.37, sv * 0.7) + 0.25 * (plank & 1), 0.5
    elif texture in (Texture.NOISE, Texture.PLAIN):
        value, mean = _noise(su * 0.25, sv * 0.25), 0.5
        return value if texture == Texture.NOISE else 0.35 + 0.3 * (value - 0.5)
    elif texture == Texture.TILES:
        value = ((su - su.astype(np.int32) < 0.06) | (sv - sv.astype(np.int32) < 0.06)).astype(np.float32)
        mean = 0.12
    elif texture == Texture.BRICKS:
        row = (sv * 2).astype(np.int32)
        across = su + 0.5 * (row & 1)
        value = ((sv * 2 - row < 0.14) | (across - across.astype(np.int32) < 0.07)).astype(np.float32)
        mean = 0.2
    elif texture == Texture.TUFTS:
        return 0.6 * _noise(su * 1.3, sv * 1.3) + 0.4 * _noise(su * 0.07, sv * 0.07)
    else:
        return np.zeros_like(u)
    sharp = np.clip(1.5 - 2.0 * per_m * pixel_m, 0.0, 1.0)
    return mean + (value - mean) * sharp
