"""The light of a scene: sun or lamps, sky, and the shadows on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.synthetic.materials import srgb_to_linear
from lseg_ros.synthetic.scene import Scene

__all__ = ["SHADOW_CELLS", "Light", "random_light"]

Array = NDArray[Any]
SHADOW_CELLS = 192  # cells per side of the shadow map


@dataclass(frozen=True, eq=False)
class Light:
    """The light of a scene.

    Attributes:
        sun: (3,) unit vector towards the sun.
        sun_rgb: (3,) linear RGB of the direct light.
        sky_rgb: (3,) linear RGB of the light from above.
        bounce_rgb: (3,) linear RGB of the light from below.
        bulb: (3,) position of the lamp in meters.
        bulb_rgb: (3,) linear RGB of the lamp's light at a distance of one meter.
        zenith: (3,) linear RGB of the sky overhead.
        horizon: (3,) linear RGB of the sky at the horizon.
        clouds: Density of the clouds, 0 to 1.
        exposure: Factor on the automatic exposure.
        shadow: (192, 192) share of the light that reaches the ground within ``area``.
        area: Left, right, front and back of the shadow map in meters.
        room: Left, right, front, back and height of a room with darker corners in meters, or None outdoors.
    """

    sun: Array
    sun_rgb: Array
    sky_rgb: Array
    bounce_rgb: Array
    bulb: Array
    bulb_rgb: Array
    zenith: Array
    horizon: Array
    clouds: float
    exposure: float
    shadow: Array
    area: tuple[float, float, float, float]
    room: tuple[float, float, float, float, float] | None


def random_light(
    rng: np.random.Generator, scene: Scene, bounds: tuple[float, float, float, float], ceiling: float
) -> Light:
    """Draw the light of a scene: a lamp and a window's light indoors, sun and sky outdoors.

    Args:
        rng: Random generator.
        scene: The scene, which casts the shadows.
        bounds: Left, right, front and back of the scene in meters.
        ceiling: Height of the ceiling in meters, 0 outdoors.
    """
    azimuth, height = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 1.2)
    sun = np.array([math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)])
    warmth = rng.uniform(-1, 1)  # color temperature from blue to yellow
    tint = np.array([1 + 0.14 * warmth, 1.0, 1 - 0.2 * warmth])
    left, right, front, back = bounds
    if ceiling:
        sun_rgb, sky_rgb = tint * rng.uniform(0.1, 0.45), tint[::-1] * rng.uniform(0.3, 0.55)
        bulb = np.array([rng.uniform(left * 0.4, right * 0.4), rng.uniform(0.5, back * 0.7), ceiling * 0.88])
        bulb_rgb = tint * rng.uniform(0.4, 1.8)
        area, room = (left, right, front, back), (left, right, front, back, ceiling)
    else:
        overcast = rng.random()
        sun_rgb = tint * 1.1 * (1 - 0.85 * overcast)
        sky_rgb = (np.array([0.5, 0.58, 0.7]) * (1 - overcast) + np.array([0.7, 0.7, 0.7]) * overcast) * rng.uniform(
            0.7, 1
        )
        bulb, bulb_rgb = np.zeros(3), np.zeros(3)
        area, room = (-9.0, 9.0, -2.0, 13.0), None
    zenith, horizon = _sky_colors(rng)
    slope = sun[:2] / sun[2] * (0.25 if ceiling else 1.0)
    depth = float(rng.uniform(0.35, 0.6)) if ceiling else float(rng.uniform(0.3, 0.7))
    return Light(
        sun, sun_rgb, sky_rgb, sky_rgb * 0.45, bulb, bulb_rgb, zenith, horizon, float(rng.uniform(0, 1)),
        float(rng.uniform(0.75, 1.25)), _shadow_map(scene, slope, area, depth), area, room,
    )  # fmt: skip


def _sky_colors(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the linear RGB of the sky at the zenith and at the horizon: blue, gray or evening."""
    kind = rng.random()
    if kind < 0.5:
        top, low = (84, 136, 214), (190, 214, 236)
    elif kind < 0.8:
        top, low = (150, 156, 164), (212, 214, 216)
    else:
        top, low = (96, 104, 160), (244, 178, 122)
    factor = rng.uniform(0.75, 1.1)
    return np.array(srgb_to_linear(top)) * factor, np.array(srgb_to_linear(low)) * factor


def _shadow_map(scene: Scene, slope: Array, area: tuple[float, float, float, float], depth: float) -> Array:
    """Draw soft shadows on the ground, shifted away from the sun according to its height."""
    left, right, front, back = area
    solids, cast = scene.solids, np.flatnonzero(scene.casts)
    reach = np.abs(solids.rotation[cast]) @ solids.extent[cast][:, :, None]
    reach = reach[:, :, 0]
    at = solids.center[cast]
    spot = at[:, :2] - slope * at[:, 2:]
    size = reach[:, :2] + np.abs(slope) * reach[:, 2:] * 0.6 + 0.06
    strength = depth / (1 + 0.45 * np.maximum(at[:, 2] - reach[:, 2], 0))
    per = np.array([SHADOW_CELLS / (right - left), SHADOW_CELLS / (back - front)])
    u, v = ((spot - (left, front)) * per).T
    ru, rv = (size * per * 1.25).T
    lit = np.ones((SHADOW_CELLS, SHADOW_CELLS), np.float32)
    grid = np.arange(SHADOW_CELLS, dtype=np.float32) + 0.5
    boxes = np.clip(np.stack([u - ru, u + ru + 1, v - rv, v + rv + 1], 1), 0, SHADOW_CELLS).astype(int)
    for (u0, u1, v0, v1), x, y, a, b, dark in zip(boxes.tolist(), u, v, ru, rv, strength):
        if u1 > u0 and v1 > v0:
            far = ((grid[u0:u1] - x) / a)[None] ** 2 + ((grid[v0:v1] - y) / b)[:, None] ** 2
            spot_light = 1 - dark * np.clip(1.6 * (1 - far), 0, 1)
            np.minimum(lit[v0:v1, u0:u1], spot_light, out=lit[v0:v1, u0:u1])
    return lit
