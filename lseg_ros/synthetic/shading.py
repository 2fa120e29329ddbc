"""Shading: the color of every pixel in the light of the scene."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Intrinsics
from lseg_ros.synthetic.light import SHADOW_CELLS, Light
from lseg_ros.synthetic.materials import Texture, mix_weight, smooth_noise
from lseg_ros.synthetic.primitives import unit_normals
from lseg_ros.synthetic.scene import RayHits, Scene

__all__ = ["shade_pixels"]

Array = NDArray[Any]
_PIXELS_PER_BAND = 16384  # pixels shaded at once; their arrays fit into the cache


def shade_pixels(
    scene: Scene, light: Light, hits: RayHits, position: Array, rotation: Array, camera: Intrinsics
) -> Array:
    """Shade an image.

    Args:
        scene: The scene.
        light: Its light.
        hits: Result of ``raycast``.
        position: (3,) camera position.
        rotation: (3, 3) camera rotation.
        camera: Intrinsics of the image.

    Returns:
        (H, W, 3) float32 linear RGB.
    """
    height, width = hits.solid.shape
    to_world, table = rotation.astype(np.float32), _SolidTable.build(scene, position, rotation)
    xs = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    ys = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)
    rgb = np.empty((height, width, 3), np.float32)
    rows = max(1, _PIXELS_PER_BAND // width)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        solid, depth = hits.solid[band].ravel(), hits.depth[band].ravel()
        x, y = np.tile(xs, len(ys[band])), np.repeat(ys[band], width)
        out = rgb[band].reshape(-1, 3)  # a view
        hit = solid >= 0
        if hit.all():
            out[:] = _surface_rgb(table, light, solid, depth, x, y, position, to_world, camera).T
            continue
        sky_x, sky_y = x[~hit], y[~hit]
        out[~hit] = _sky_rgb(
            light, [to_world[i, 0] * sky_x + to_world[i, 1] * sky_y + to_world[i, 2] for i in range(3)]
        ).T
        if hit.any():
            out[hit] = _surface_rgb(table, light, solid[hit], depth[hit], x[hit], y[hit], position, to_world, camera).T
    return rgb


def _sky_rgb(light: Light, direction: list[Array]) -> Array:
    """Return (3, N) linear RGB of the sky, with clouds on a high plane."""
    dx, dy, dz = direction
    steep = dz / np.sqrt(dx * dx + dy * dy + dz * dz)
    up = np.clip(steep * 1.6, 0, 1)
    far = 1.0 / np.maximum(steep, 0.04)
    u, v = (dx * far * 6 + 900).astype(np.int32) & 255, (dy * far * 6 + 900).astype(np.int32) & 255
    cloud = np.clip((smooth_noise().take((v << 8) | u) - 0.45) * 2.5, 0, 1) * light.clouds * np.clip(steep * 5, 0, 1)
    base = light.horizon[:, None] + (light.zenith - light.horizon)[:, None] * up
    return base + (0.92 - base) * cloud * 0.8


class _SolidTable(NamedTuple):
    """Properties that pixels look up by the index of their solid, in rows of P values.

    Attributes:
        kind: (P,) kind of the solid.
        taper: (P,) its taper.
        start: (3, P) camera position in the frame of the solid, meters.
        axes: (9, P) camera axes in the frame of the solid.
        half: (3, P) half sizes in meters.
        rotation: (9, P) rotation of the solid.
        a: (3, P) first color of the paint.
        change: (3, P) second color minus the first one.
        texture: (P,) texture of the paint.
        per_m: (P,) repetitions of the texture per meter.
    """

    kind: Array
    taper: Array
    start: Array
    axes: Array
    half: Array
    rotation: Array
    a: Array
    change: Array
    texture: Array
    per_m: Array

    @classmethod
    def build(cls, scene: Scene, position: Array, rotation: Array) -> _SolidTable:
        solids = scene.solids
        local = np.swapaxes(solids.rotation, 1, 2)
        start = (local @ (position - solids.center)[:, :, None])[:, :, 0]
        axes = local @ rotation.astype(np.float32).astype(np.float64)
        columns = (start, axes, solids.half, solids.rotation, scene.a, scene.b - scene.a)
        rows = [np.ascontiguousarray(column.reshape(len(local), -1).T, np.float32) for column in columns]
        start, axes, half, rotations, a, change = rows
        taper = solids.taper.astype(np.float32)
        return cls(solids.kind, taper, start, axes, half, rotations, a, change, scene.texture, scene.per_m)


def _surface_rgb(
    table: _SolidTable,
    light: Light,
    solid: Array,
    depth: Array,
    x: Array,
    y: Array,
    position: Array,
    to_world: Array,
    camera: Intrinsics,
) -> Array:
    """Return (3, N) linear RGB of surface points."""
    ray = [a.take(solid) * x + b.take(solid) * y + c.take(solid) for a, b, c in table.axes.reshape(3, 3, -1)]
    half = [row.take(solid) for row in table.half]
    p = [start.take(solid) + depth * direction for start, direction in zip(table.start, ray)]
    kind, taper = table.kind.take(solid), table.taper.take(solid)
    unit = unit_normals(kind, taper, p[0] / half[0], p[1] / half[1], p[2] / half[2])
    n = [a / b for a, b in zip(unit, half)]
    length = 1.0 / np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2] + 1e-12)
    n = [a * length for a in n]
    facing = ray[0] * n[0] + ray[1] * n[1] + ray[2] * n[2]
    flip = np.where(facing > 0, np.float32(-1), np.float32(1))
    world = [
        flip * (a.take(solid) * n[0] + b.take(solid) * n[1] + c.take(solid) * n[2])
        for a, b, c in table.rotation.reshape(3, 3, -1)
    ]
    point = [
        np.float32(position[i]) + depth * (to_world[i, 0] * x + to_world[i, 1] * y + to_world[i, 2]) for i in range(3)
    ]
    lit = _illuminate(light, world, point)
    glow = table.texture.take(solid) == Texture.GLOW
    if glow.any():
        lit[:, glow] = 1.15
    return _albedo(table, solid, p, n, depth / np.maximum(np.abs(facing), 0.15) / np.float32(camera.fx)) * lit


def _albedo(table: _SolidTable, solid: Array, p: list[Array], n: list[Array], pixel_m: Array) -> Array:
    """Return (3, N) linear RGB of the paint.

    Textures are mapped onto the coordinate plane that is most parallel to the surface.
    """
    ax, ay, az = (np.abs(component) for component in n)
    along_x = (ax >= ay) & (ax >= az)
    along_z = ~along_x & (az > ay)
    u = np.where(along_x, p[1], p[0])
    v = np.where(along_z, p[1], p[2])
    mix = np.empty(len(solid), np.float32)
    texture, per_m = table.texture.take(solid), table.per_m.take(solid)
    for kind in np.flatnonzero(np.bincount(texture, minlength=len(Texture))).tolist():
        at = np.flatnonzero(texture == kind)
        mix[at] = mix_weight(kind, u[at], v[at], per_m[at], pixel_m[at])
    return np.stack([a.take(solid) + change.take(solid) * mix for a, change in zip(table.a, table.change)])


def _illuminate(light: Light, n: list[Array], p: list[Array]) -> Array:
    """Return (3, N) linear RGB of the light on points with normals, both in the world."""
    sun = np.maximum(sum(np.float32(s) * a for s, a in zip(light.sun, n)), 0)
    up = 0.5 + 0.5 * n[2]
    ground = np.flatnonzero((p[2] < 0.05) & (n[2] > 0.7))
    left, right, front, back = light.area
    u = np.clip((p[0][ground] - left) * (SHADOW_CELLS / (right - left)) - 0.5, 0, SHADOW_CELLS - 1.001)
    v = np.clip((p[1][ground] - front) * (SHADOW_CELLS / (back - front)) - 0.5, 0, SHADOW_CELLS - 1.001)
    shade = np.ones(len(up), np.float32)
    iu, iv = u.astype(np.int32), v.astype(np.int32)
    fu, fv, flat, at = u - iu, v - iv, light.shadow.ravel(), iv * SHADOW_CELLS + iu
    near = flat.take(at) * (1 - fu) + flat.take(at + 1) * fu
    far = flat.take(at + SHADOW_CELLS) * (1 - fu) + flat.take(at + SHADOW_CELLS + 1) * fu
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
        total = [light_sum + np.float32(c) * bulb for light_sum, c in zip(total, light.bulb_rgb)]
    return np.stack(total) * shade
