"""Outdoor things, and the parts of places: ground, walls, doors and windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.synthetic.belongings import leaf_paint
from lseg_ros.synthetic.materials import Paint, Texture, named_paint, random_paint, rgb_paint, srgb_to_linear
from lseg_ros.synthetic.things import Thing, rotation_x

__all__ = ["door", "fence", "ground", "house", "room_shell", "street_lamp", "traffic_cone", "tree", "window"]

Rng = np.random.Generator
_FLOORS = (Texture.WOOD, Texture.TILES, Texture.CHECKS, Texture.NOISE, Texture.PLAIN)
_WALLS = (Texture.PLAIN, Texture.PLAIN, Texture.STRIPES, Texture.BRICKS, Texture.NOISE)


def tree(rng: Rng) -> Thing:
    """Build a tree with a round crown, or a fir."""
    t = Thing("tree", rng, colored=False)
    leaf = leaf_paint(rng)._replace(per_m=2.5)
    bark = rgb_paint(tuple(np.array([98, 74, 54]) * rng.uniform(0.6, 1.3)), Texture.WOOD, 6.0)
    if rng.random() < 0.35:
        high = t.uniform(3.0, 5.0)
        t.cylinder((0, 0, 0), 0.14, 0.8, bark)
        for i in range(3):
            t.cylinder(
                (0, 0, 0.5 + high * 0.25 * i), (1.15 - 0.28 * i), high * 0.42, leaf.shade(0.8 + 0.15 * i), taper=0.05
            )
    else:
        stem = t.uniform(1.1, 2.0)
        t.cylinder((0, 0, 0), t.uniform(0.13, 0.24), stem + 0.6, bark, taper=0.7)
        t.rod((0, 0, stem * 0.8), (0.5, 0.1, stem + 0.7), 0.07, bark, taper=0.5)
        for _ in range(6):
            at = (t.uniform(-0.75, 0.75), t.uniform(-0.75, 0.75), stem + t.uniform(0.45, 1.7))
            t.ball(
                at, (t.uniform(0.5, 0.85), t.uniform(0.5, 0.85), t.uniform(0.45, 0.75)), leaf.shade(t.uniform(0.7, 1.2))
            )
    t.reach = 0.8
    return t


def window(rng: Rng, wide: float = 0.0, glass: Paint | None = None) -> Thing:
    """Build a window with a cross and a sill. Its back is against the wall."""
    t = Thing("window", rng)
    wide = wide or t.uniform(0.9, 1.5)
    high = wide * t.uniform(0.85, 1.2)
    if glass is None:
        sky = np.array([150, 190, 232]) if rng.random() < 0.7 else np.array([40, 48, 66])
        glass = rgb_paint(tuple(sky * rng.uniform(0.8, 1.08)), Texture.NOISE, 0.8)._replace(texture=Texture.GLOW)
    z, bar = 0.0, 0.07
    t.rectangle((0, -0.02, z + high / 2), wide, high, glass, rotation_x(math.pi / 2))
    for x in (-wide / 2, 0.0, wide / 2):
        t.box((x, -0.03, z), (bar if x else bar * 0.6, 0.07, high))
    for up in (0.0, high * 0.55, high):
        t.box((0, -0.03, z + up - bar / 2), (wide + bar, 0.07, bar))
    t.box((0, -0.09, z - bar), (wide + 0.2, 0.2, 0.05))
    t.reach = wide / 2 + 0.1
    t.shadow = False
    return t


def door(rng: Rng) -> Thing:
    """Build a door with panels, a handle and a frame. Its back is against the wall."""
    t = Thing("door", rng, textures=(Texture.PLAIN, Texture.WOOD))
    wide, high = t.uniform(0.85, 1.0), t.uniform(1.95, 2.1)
    frame = t.paint.shade(0.6) if rng.random() < 0.5 else random_paint(rng)
    t.box((0, -0.02, 0), (wide, 0.05, high))
    for side in (-1, 1):
        t.box((side * (wide / 2 + 0.04), -0.03, 0), (0.09, 0.09, high + 0.05), frame)
    t.box((0, -0.03, high), (wide + 0.17, 0.09, 0.09), frame)
    for z, tall in ((0.18, high * 0.36), (0.18 + high * 0.45, high * 0.38)):
        for side in (-1, 1):
            t.box((side * wide * 0.21, -0.035, z), (wide * 0.32, 0.04, tall), t.paint.shade(0.8))
    side = -1 if rng.random() < 0.5 else 1
    metal = rgb_paint((196, 178, 120))
    t.rod((side * wide * 0.42, -0.09, 1.0), (side * wide * 0.28, -0.09, 1.0), 0.02, metal)
    t.rod((side * wide * 0.42, -0.03, 1.0), (side * wide * 0.42, -0.1, 1.0), 0.024, metal)
    t.reach, t.shadow = wide / 2 + 0.12, False
    return t


def house(rng: Rng) -> tuple[Thing, float, float]:
    """Build a house with a roof and a chimney. Returns it with its width and depth in meters."""
    t = Thing("house", rng, textures=(Texture.PLAIN, Texture.BRICKS, Texture.WOOD))
    t.paint = t.paint._replace(per_m=t.uniform(1.5, 3.0))
    wide, deep, high = t.uniform(4.5, 7.5), t.uniform(4.0, 5.0), t.uniform(2.6, 3.4)
    roof = random_paint(rng, (Texture.TILES, Texture.STRIPES, Texture.BRICKS))._replace(per_m=2.5)
    t.box((0, 0, 0), (wide, deep, high))
    if rng.random() < 0.7:
        pitch = t.uniform(0.55, 0.75)
        long = (deep / 2 + 0.3) / math.cos(pitch)
        rise = math.tan(pitch) * (deep / 2)
        for side in (-1, 1):
            at = (0, side * (deep / 4 + 0.1), high + rise / 2 - 0.05)
            t.box(at, (wide + 0.5, long, 0.1), roof, rotation_x(-side * pitch))
        for x in (-wide / 2 + 0.05, wide / 2 - 0.05):
            t.box((x, 0, high), (0.08, deep * 0.62, rise * 0.4), t.paint)
        t.box((wide * 0.28, 0.4, high + rise * 0.3), (0.5, 0.5, rise * 0.7 + 0.6), random_paint(rng, (Texture.BRICKS,)))
    else:
        t.box((0, 0, high), (wide + 0.3, deep + 0.3, 0.25), roof)
    t.reach = max(wide, deep) / 2
    return t, wide, deep


def fence(rng: Rng) -> Thing:
    """Build a fence of pickets, or of horizontal boards."""
    t = Thing("fence", rng, textures=(Texture.PLAIN, Texture.WOOD))
    long, high = t.uniform(2.4, 3.6), t.uniform(0.8, 1.25)
    if rng.random() < 0.65:
        for z in (0.25, 0.75):
            t.box((0, 0.03, high * z), (long, 0.04, 0.09), t.paint.shade(0.8))
        count = int(long / 0.22)
        for i in range(count):
            x = -long / 2 + long * (i + 0.5) / count
            t.box((x, 0, 0.03), (0.1, 0.03, high * (1.0 if i % 2 else 0.93)))
    else:
        for i in range(3):
            t.box((0, 0, high * (0.2 + 0.28 * i)), (long, 0.04, high * 0.13))
        for x in np.linspace(-long / 2, long / 2, 4):
            t.box((float(x), 0.03, 0), (0.1, 0.1, high), t.paint.shade(0.75))
    t.reach = long / 2
    return t


def street_lamp(rng: Rng) -> Thing:
    """Build a tall post with an arm and a head, or with a lantern on top."""
    t = Thing("street lamp", rng)
    high = t.uniform(2.6, 3.6)
    t.cylinder((0, 0, 0), 0.13, 0.5, taper=0.7)
    t.cylinder((0, 0, 0.4), 0.065, high - 0.4, taper=0.8)
    light = rgb_paint((250, 240, 200))._replace(texture=Texture.GLOW)
    if rng.random() < 0.5:
        t.rod((0, 0, high - 0.05), (-0.8, 0, high + 0.15), 0.045)
        t.box((-0.95, 0, high + 0.1), (0.6, 0.24, 0.1))
        t.box((-0.95, 0, high + 0.06), (0.5, 0.18, 0.05), light)
    else:
        t.cylinder((0, 0, high), 0.12, 0.36, light, taper=1.6)
        t.cylinder((0, 0, high + 0.36), 0.24, 0.18, taper=0.1)
    t.reach = 0.35
    return t


def traffic_cone(rng: Rng) -> Thing:
    """Build a traffic cone with one or two bands."""
    t = Thing("traffic cone", rng)
    high, radius = t.uniform(0.5, 0.8), 0.17
    t.box((0, 0, 0), (0.46, 0.46, 0.04), t.paint.shade(0.6))
    t.cylinder((0, 0, 0.04), radius, high, taper=0.22)
    band = random_paint(rng)
    for z in (0.35, 0.65) if rng.random() < 0.5 else (0.45,):
        bottom, top = 1 - 0.78 * z, 1 - 0.78 * (z + 0.16)
        t.cylinder((0, 0, 0.04 + high * z), radius * bottom + 0.004, high * 0.16, band, taper=top / bottom)
    t.reach = 0.34
    return t


def room_shell(rng: Rng, left: float, right: float, front: float, back: float, high: float) -> list[Thing]:
    """Build floor, ceiling and the four walls of a room."""
    x, y, wide, deep, more = (left + right) / 2, (front + back) / 2, right - left, back - front, 0.02
    floor = Thing("floor", rng, textures=_FLOORS)
    floor.paint = floor.paint.lighten(floor.uniform(0.0, 0.35))._replace(per_m=floor.uniform(1.5, 4.0))
    floor.rectangle((x, y, 0), wide + more, deep + more)
    ceiling = Thing("ceiling", rng, textures=(Texture.PLAIN, Texture.PLAIN, Texture.TILES, Texture.WOOD))
    if rng.random() < 0.5:
        ceiling.paint = named_paint(rng, "white", (Texture.PLAIN, Texture.TILES))._replace(per_m=1.6)
    ceiling.rectangle((x, y, high), wide + more, deep + more, rotation=rotation_x(math.pi))
    wall = Thing("wall", rng, textures=_WALLS)
    paint = wall.paint.lighten(wall.uniform(0.0, 0.6))._replace(per_m=wall.uniform(1.5, 4.0))
    accent = random_paint(rng, _WALLS).lighten(wall.uniform(0.0, 0.5)) if rng.random() < 0.3 else paint
    skirting = random_paint(rng)
    half = math.pi / 2
    for at, run, yaw, coat in (
        ((x, back, high / 2), wide, 0.0, accent),
        ((x, front, high / 2), wide, 2 * half, paint),
        ((left, y, high / 2), deep, half, paint),
        ((right, y, high / 2), deep, -half, paint),
    ):
        wall.rectangle(at, run + more, high + more, coat, _rotation_z(yaw) @ rotation_x(half))
        c, s = math.cos(yaw), math.sin(yaw)
        wall.box((at[0] + 0.015 * s, at[1] - 0.015 * c, 0), (run, 0.03, 0.1), skirting, _rotation_z(yaw))
    for thing in (floor, ceiling, wall):
        thing.shadow = False
    return [floor, ceiling, wall]


def ground(rng: Rng, name: str, left: float, right: float, front: float, back: float, z: float) -> Thing:
    """Build a rectangle of grass or road on the ground."""
    t = Thing(name, rng, colored=False)
    if name == "grass":
        dry = rng.random()
        rgb = np.array([70, 124, 46]) * (1 - dry) + np.array([150, 136, 74]) * dry
        t.paint = rgb_paint(tuple(rgb * rng.uniform(0.75, 1.15)), Texture.TUFTS, 3.5)
    else:
        rgb = np.array([104, 102, 104]) * rng.uniform(0.55, 1.5) + rng.normal(0, 7, 3)
        kind = (Texture.NOISE, Texture.NOISE, Texture.TILES, Texture.BRICKS)[rng.integers(4)]
        t.paint = rgb_paint(tuple(rgb), kind, 2.0)
    t.rectangle(((left + right) / 2, (front + back) / 2, z), right - left, back - front)
    if name == "road" and rng.random() < 0.7:
        line = Paint(Texture.PLAIN, srgb_to_linear((230, 228, 214)), srgb_to_linear((190, 188, 176)))
        long, middle = (right - left > back - front), ((left + right) / 2, (front + back) / 2)
        for i in range(-6, 7):
            at = (middle[0] + 2.4 * i, middle[1], z + 0.004) if long else (middle[0], middle[1] + 2.4 * i, z + 0.004)
            inside = left < at[0] < right and front < at[1] < back
            if inside:
                t.rectangle(at, 1.2 if long else 0.12, 0.12 if long else 1.2, line)
    t.shadow = False
    return t


def _rotation_z(angle: float) -> NDArray[Any]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
