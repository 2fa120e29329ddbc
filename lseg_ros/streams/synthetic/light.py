"""Light and colour: what a pixel that sees a solid looks like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.streams.synthetic.materials import Texture, linear, mixture, smooth_noise
from lseg_ros.streams.synthetic.primitives import unit_normals
from lseg_ros.streams.synthetic.scene import Scene, Sight
from lseg_ros.structures import Intrinsics

__all__ = ["Light", "light_of", "paint"]

Array = NDArray[Any]
_GRID = 192  # cells of the shadow map along each side


@dataclass(frozen=True, eq=False)
class Light:
    """The light of a scene.

    sun: unit vector towards it; sun_rgb, sky_rgb, bounce_rgb: linear RGB of direct light, of light from above and
    from below. bulb: position in metres, bulb_rgb its light at one metre. zenith, horizon: linear RGB of the sky,
    clouds 0..1. shadow: (192, 192) how much light is missing on the ground, over ``area`` (left, right, front, back).
    room: (left, right, front, back, height) with darker corners, or None outdoors.
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


def light_of(
    rng: np.random.Generator, scene: Scene, bounds: tuple[float, float, float, float], ceiling: float
) -> Light:
    """Random light for a scene: lamps and a window's direction indoors, sun and sky outdoors."""
    azimuth, height = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 1.2)
    sun = np.array([math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)])
    warmth = rng.uniform(-1, 1)  # colour temperature: blueish to yellowish
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
    zenith, horizon = _sky(rng)
    slope = sun[:2] / sun[2] * (0.25 if ceiling else 1.0)
    depth = float(rng.uniform(0.35, 0.6)) if ceiling else float(rng.uniform(0.3, 0.7))
    return Light(
        sun, sun_rgb, sky_rgb, sky_rgb * 0.45, bulb, bulb_rgb, zenith, horizon, float(rng.uniform(0, 1)),
        float(rng.uniform(0.75, 1.25)), _shadow_map(scene, slope, area, depth), area, room,
    )  # fmt: skip


def _sky(rng: np.random.Generator) -> tuple[Array, Array]:
    """Colours of the sky at the top and at the horizon: blue, grey or evening."""
    kind = rng.random()
    if kind < 0.5:
        top, low = (84, 136, 214), (190, 214, 236)
    elif kind < 0.8:
        top, low = (150, 156, 164), (212, 214, 216)
    else:
        top, low = (96, 104, 160), (244, 178, 122)
    factor = rng.uniform(0.75, 1.1)
    return np.array(linear(top)) * factor, np.array(linear(low)) * factor


def _shadow_map(scene: Scene, slope: Array, area: tuple[float, float, float, float], depth: float) -> Array:
    """Soft spots below everything that casts a shadow, shifted away from the sun as it is high."""
    left, right, front, back = area
    solids, cast = scene.solids, np.flatnonzero(scene.casts)
    reach = np.abs(solids.rotation[cast]) @ solids.extent[cast][:, :, None]
    reach = reach[:, :, 0]
    at = solids.center[cast]
    spot = at[:, :2] - slope * at[:, 2:]
    size = reach[:, :2] + np.abs(slope) * reach[:, 2:] * 0.6 + 0.06
    strength = depth / (1 + 0.45 * np.maximum(at[:, 2] - reach[:, 2], 0))
    per = np.array([_GRID / (right - left), _GRID / (back - front)])
    u, v = ((spot - (left, front)) * per).T
    ru, rv = (size * per * 1.25).T
    lit = np.ones((_GRID, _GRID), np.float32)
    grid = np.arange(_GRID, dtype=np.float32) + 0.5
    boxes = np.clip(np.stack([u - ru, u + ru + 1, v - rv, v + rv + 1], 1), 0, _GRID).astype(int)
    for (u0, u1, v0, v1), x, y, a, b, dark in zip(boxes.tolist(), u, v, ru, rv, strength):
        if u1 > u0 and v1 > v0:
            far = ((grid[u0:u1] - x) / a)[None] ** 2 + ((grid[v0:v1] - y) / b)[:, None] ** 2
            spot_light = 1 - dark * np.clip(1.6 * (1 - far), 0, 1)
            np.minimum(lit[v0:v1, u0:u1], spot_light, out=lit[v0:v1, u0:u1])
    return lit


def paint(scene: Scene, light: Light, sight: Sight, position: Array, rotation: Array, lens: Intrinsics) -> Array:
    """(H, W, 3) float32 linear RGB of what is seen."""
    shape = sight.solid.shape
    turn = rotation.astype(np.float32)
    x = np.broadcast_to(((np.arange(shape[1]) - lens.cx) / lens.fx).astype(np.float32), shape).ravel()
    y = np.broadcast_to(((np.arange(shape[0]) - lens.cy) / lens.fy).astype(np.float32)[:, None], shape).ravel()
    solid = sight.solid.ravel()
    rgb = np.empty((3, solid.size), np.float32)
    full = bool(solid.min(initial=0) >= 0)
    where: Any = slice(None) if full else np.flatnonzero(solid >= 0)
    if not full:
        none = np.flatnonzero(solid < 0)
        rgb[:, none] = _sky_rgb(light, [turn[i, 0] * x[none] + turn[i, 1] * y[none] + turn[i, 2] for i in range(3)])
    rgb[:, where] = _surface_rgb(
        scene, light, solid[where], sight.depth.ravel()[where], x[where], y[where], position, turn, lens
    )
    return np.ascontiguousarray(rgb.T).reshape(*shape, 3)


def _sky_rgb(light: Light, direction: list[Array]) -> Array:
    """(3, N): from horizon to zenith, with clouds on a plane high above."""
    dx, dy, dz = direction
    steep = dz / np.sqrt(dx * dx + dy * dy + dz * dz)
    up = np.clip(steep * 1.6, 0, 1)
    far = 1.0 / np.maximum(steep, 0.04)
    u, v = (dx * far * 6 + 900).astype(np.int32) & 255, (dy * far * 6 + 900).astype(np.int32) & 255
    cloud = np.clip((smooth_noise().take((v << 8) | u) - 0.45) * 2.5, 0, 1) * light.clouds * np.clip(steep * 5, 0, 1)
    base = light.horizon[:, None] + (light.zenith - light.horizon)[:, None] * up
    return base + (0.92 - base) * cloud * 0.8


def _surface_rgb(
    scene: Scene,
    light: Light,
    solid: Array,
    depth: Array,
    x: Array,
    y: Array,
    position: Array,
    turn: Array,
    lens: Intrinsics,
) -> Array:
    """(3, N) linear RGB of surface points."""
    solids = scene.solids
    local = np.swapaxes(solids.rotation, 1, 2)
    start = (local @ (position - solids.center)[:, :, None])[:, :, 0].astype(np.float32)
    axes = (local @ turn.astype(np.float64)).astype(np.float32).reshape(-1, 9)
    size = solids.half.astype(np.float32)
    g = [axes[:, i].take(solid) for i in range(9)]
    p = [start[:, i].take(solid) + depth * (g[3 * i] * x + g[3 * i + 1] * y + g[3 * i + 2]) for i in range(3)]
    h = [size[:, i].take(solid) for i in range(3)]
    q = [p[i] / h[i] for i in range(3)]
    kind, taper = solids.kind.take(solid), solids.taper.astype(np.float32).take(solid)
    n = [a / b for a, b in zip(unit_normals(kind, taper, *q), h)]
    length = 1.0 / np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2] + 1e-12)
    n = [a * length for a in n]
    facing = sum((g[3 * i] * x + g[3 * i + 1] * y + g[3 * i + 2]) * n[i] for i in range(3))
    flip = np.where(facing > 0, np.float32(-1), np.float32(1))
    r = solids.rotation.astype(np.float32).reshape(-1, 9)
    world = [flip * sum(r[:, 3 * i + j].take(solid) * n[j] for j in range(3)) for i in range(3)]
    place = [np.float32(position[i]) + depth * (turn[i, 0] * x + turn[i, 1] * y + turn[i, 2]) for i in range(3)]
    color = _color(scene, solid, p, n, depth / np.maximum(np.abs(facing), 0.15), lens)
    lit = _lit(light, world, place)
    glow = scene.texture.take(solid) == Texture.GLOW
    if glow.any():
        lit[:, glow] = 1.15
    return color * lit


def _color(scene: Scene, solid: Array, p: list[Array], n: list[Array], far: Array, lens: Intrinsics) -> Array:
    """(3, N) linear RGB of the paint: textures lie on the plane that the normal points out of most."""
    ax, ay, az = (np.abs(each) for each in n)
    along_x = (ax >= ay) & (ax >= az)
    along_z = ~along_x & (az > ay)
    u = np.where(along_x, p[1], p[0])
    v = np.where(along_z, p[1], p[2])
    mix = np.empty(len(solid), np.float32)
    texture, per_m = scene.texture.take(solid), scene.per_m.take(solid)
    coarse = far / np.float32(lens.fx)
    for kind in np.flatnonzero(np.bincount(texture, minlength=9)).tolist():
        at = np.flatnonzero(texture == kind)
        mix[at] = mixture(kind, u[at], v[at], per_m[at], coarse[at])
    return np.stack([scene.a[:, i].take(solid) + (scene.b - scene.a)[:, i].take(solid) * mix for i in range(3)])


def _lit(light: Light, n: list[Array], p: list[Array]) -> Array:
    """(3, N) how much light of each colour falls on points with normals, both in the world."""
    sun = np.maximum(sum(np.float32(s) * a for s, a in zip(light.sun, n)), 0)
    up = 0.5 + 0.5 * n[2]
    ground = np.flatnonzero((p[2] < 0.05) & (n[2] > 0.7))
    left, right, front, back = light.area
    u = np.clip((p[0][ground] - left) * (_GRID / (right - left)) - 0.5, 0, _GRID - 1.001)
    v = np.clip((p[1][ground] - front) * (_GRID / (back - front)) - 0.5, 0, _GRID - 1.001)
    shade = np.ones(len(up), np.float32)
    iu, iv = u.astype(np.int32), v.astype(np.int32)
    fu, fv, flat, at = u - iu, v - iv, light.shadow.ravel(), iv * _GRID + iu
    near = flat.take(at) * (1 - fu) + flat.take(at + 1) * fu
    far = flat.take(at + _GRID) * (1 - fu) + flat.take(at + _GRID + 1) * fu
    shade[ground] = near * (1 - fv) + far * fv
    if light.room is not None:
        x0, x1, y0, y1, high = light.room
        for gap in (p[0] - x0, x1 - p[0], p[1] - y0, y1 - p[1], p[2], high - p[2]):
            shade *= 1 - 0.22 * np.exp(np.minimum(-4 * gap, 0))
    else:
        shade *= 1 - 0.2 * np.exp(np.minimum(-5 * p[2], 0))
    total = [np.float32(a) * sun + np.float32(c) + np.float32(b - c) * up
             for a, b, c in zip(light.sun_rgb, light.sky_rgb, light.bounce_rgb)]  # fmt: skip
    if light.bulb_rgb.any():
        to = [np.float32(light.bulb[i]) - p[i] for i in range(3)]
        square = to[0] * to[0] + to[1] * to[1] + to[2] * to[2] + 0.15
        bulb = np.maximum(to[0] * n[0] + to[1] * n[1] + to[2] * n[2], 0) / (square * np.sqrt(square)) * 2.0
        bulb += 0.25 / square
        total = [each + np.float32(c) * bulb for each, c in zip(total, light.bulb_rgb)]
    return np.stack(total) * shade
