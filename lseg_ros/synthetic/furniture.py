"""Furniture."""

from __future__ import annotations

import numpy as np

from lseg_ros.synthetic.materials import Paint, Texture, named_paint, random_paint
from lseg_ros.synthetic.things import Thing, rotation_x

__all__ = ["bed", "bench", "cabinet", "chair", "lamp", "rug", "shelf", "sofa", "table"]

Rng = np.random.Generator
_SOLID = (Texture.PLAIN, Texture.WOOD, Texture.WOOD)
_CLOTH = (Texture.PLAIN, Texture.STRIPES, Texture.CHECKS, Texture.NOISE)


def table(rng: Rng) -> Thing:
    """Build a table with four legs, or a round one with a foot."""
    t = Thing("table", rng, textures=_SOLID)
    high = t.uniform(0.62, 0.8)
    if rng.random() < 0.3:
        radius = t.uniform(0.45, 0.65)
        t.cylinder((0, 0, high - 0.05), radius, 0.05)
        t.cylinder((0, 0, 0), 0.06, high - 0.05, t.paint.shade(0.7))
        t.cylinder((0, 0, 0), radius * 0.55, 0.05, t.paint.shade(0.7), taper=0.6)
        t.reach, t.tops = radius, [(0, 0, high, radius * 0.65, radius * 0.65)]
        return t
    wide, deep = t.uniform(1.1, 1.7), t.uniform(0.7, 0.9)
    t.box((0, 0, high - 0.06), (wide, deep, 0.06))
    t.legs(wide - 0.06, deep - 0.06, high - 0.06, t.uniform(0.03, 0.05), t.paint.shade(0.75))
    t.reach, t.tops = wide * 0.5, [(0, 0, high, wide * 0.45, deep * 0.42)]
    return t


def chair(rng: Rng) -> Thing:
    """Build a chair with four legs and a back."""
    t = Thing("chair", rng, textures=_SOLID)
    wide, high = t.uniform(0.42, 0.52), t.uniform(0.42, 0.48)
    frame = t.paint.shade(0.75)
    t.box((0, 0, high), (wide, wide, 0.06))
    t.legs(wide, wide, high, t.uniform(0.018, 0.03), frame)
    back = t.uniform(0.42, 0.6)
    y = wide / 2 - 0.02
    if rng.random() < 0.5:
        t.box((0, y, high + 0.12), (wide, 0.04, back - 0.1))
        for x in (-wide / 2 + 0.03, wide / 2 - 0.03):
            t.box((x, y, high), (0.04, 0.04, 0.16), frame)
    else:
        for x in np.linspace(-wide / 2 + 0.03, wide / 2 - 0.03, 4):
            t.box((float(x), y, high), (0.04, 0.035, back), frame)
        t.box((0, y, high + back - 0.06), (wide, 0.05, 0.12))
    t.reach, t.tops = 0.36, [(0, -0.03, high + 0.06, wide * 0.3, wide * 0.3)]
    return t


def sofa(rng: Rng) -> Thing:
    """Build a sofa with a thick back, arms and cushions."""
    t = Thing("sofa", rng, textures=_CLOTH)
    wide, deep, seat = t.uniform(1.5, 2.2), t.uniform(0.8, 0.95), t.uniform(0.36, 0.44)
    arm = t.uniform(0.16, 0.24)
    t.box((0, 0, 0.06), (wide, deep, seat - 0.16))
    cushions = 2 if wide < 1.85 else 3
    cushion = (wide - 2 * arm) / cushions
    for i in range(cushions):
        x = -wide / 2 + arm + cushion * (i + 0.5)
        t.box((x, -0.06, seat - 0.1), (cushion - 0.025, deep - 0.14, 0.14), t.paint.shade(1.15))
        t.ball((x, deep / 2 - 0.26, seat + 0.24), (cushion * 0.46, 0.13, 0.24), t.paint.shade(1.1), rotation_x(0.2))
    t.box((0, deep / 2 - 0.11, 0.06), (wide, 0.22, seat + 0.36), t.paint.shade(0.9))
    for side in (-1, 1):
        t.box((side * (wide - arm) / 2, 0, 0.06), (arm, deep, seat + 0.1), t.paint.shade(0.9))
    if rng.random() < 0.5:
        side = -1 if rng.random() < 0.5 else 1
        cloth = random_paint(rng, _CLOTH)
        t.ball((side * (wide / 2 - arm - 0.22), 0.05, seat + 0.22), (0.22, 0.1, 0.2), cloth, rotation_x(0.3))
    t.reach, t.tops = wide * 0.46, [(0, -0.1, seat + 0.04, wide / 2 - arm - 0.2, 0.15)]
    return t


def bed(rng: Rng) -> Thing:
    """Build a bed with a headboard, a mattress, pillows and a blanket."""
    t = Thing("bed", rng, textures=_CLOTH)
    wide, long = t.uniform(1.1, 1.8), 2.0
    frame, linen = random_paint(rng, _SOLID), named_paint(rng, "white")
    t.legs(wide, long, 0.2, 0.04, frame)
    t.box((0, 0, 0.16), (wide, long, 0.14), frame)
    t.box((0, 0, 0.3), (wide - 0.06, long - 0.08, 0.2), linen)
    t.box((0, -0.3, 0.32), (wide, long - 0.7, 0.23))
    t.box((0, -0.3 + long / 2 - 0.38, 0.49), (wide + 0.005, 0.16, 0.075), linen)
    t.box((0, long / 2, 0), (wide + 0.08, 0.07, t.uniform(0.85, 1.15)), frame)
    for x in (0.0,) if wide < 1.35 else (-wide / 4, wide / 4):
        t.ball((x, long / 2 - 0.28, 0.58), (min(wide * 0.36, 0.36), 0.2, 0.12), linen, rotation_x(0.25))
    t.reach, t.tops = 1.0, [(0, -0.5, 0.55, wide * 0.3, 0.35)]
    return t


def shelf(rng: Rng) -> Thing:
    """Build an open shelf with books and boxes."""
    t = Thing("shelf", rng, textures=_SOLID)
    wide, deep, high = t.uniform(0.8, 1.3), t.uniform(0.28, 0.38), t.uniform(1.2, 2.0)
    boards = int(rng.integers(4, 6))
    for side in (-1, 1):
        t.box((side * wide / 2, 0, 0), (0.04, deep, high))
    t.box((0, deep / 2 - 0.01, 0), (wide, 0.02, high), t.paint.shade(0.5))
    step = (high - 0.08) / (boards - 1)
    for i in range(boards):
        t.box((0, 0, 0.03 + step * i), (wide, deep, 0.035))
    for i in range(boards - 1):
        x = -wide / 2 + 0.05
        while x < wide / 2 - 0.25:
            run = t.uniform(0.1, 0.3)
            if rng.random() < 0.7:
                books = random_paint(rng, (Texture.STRIPES,))._replace(per_m=t.uniform(10.0, 16.0))
                t.box((x + run / 2, 0.02, 0.065 + step * i), (run, deep * 0.7, step * t.uniform(0.5, 0.8)), books)
            x += run + 0.04
    t.reach, t.tops = wide * 0.5, [(0, 0, high, wide * 0.35, 0.06)] if high < 1.4 else []
    return t


def cabinet(rng: Rng) -> Thing:
    """Build a closed cabinet with two doors or three drawers."""
    t = Thing("cabinet", rng, textures=_SOLID)
    wide, deep, high = t.uniform(0.8, 1.3), t.uniform(0.42, 0.55), t.uniform(0.7, 1.5)
    dark, metal = t.paint.shade(0.35), Paint(Texture.PLAIN, (0.45, 0.43, 0.38), (0.2, 0.2, 0.2))
    t.legs(wide, deep, 0.1, 0.03, dark)
    t.box((0, 0.01, 0.08), (wide, deep - 0.02, high - 0.08), dark)
    t.box((0, 0, high - 0.03), (wide + 0.04, deep + 0.03, 0.04))
    front, tall = -deep / 2, high - 0.16
    if high > 0.95 or rng.random() < 0.4:
        for side in (-1, 1):
            t.box((side * wide / 4, front, 0.11), (wide / 2 - 0.025, 0.03, tall))
            t.rod((side * 0.06, front - 0.04, high * 0.45), (side * 0.06, front - 0.04, high * 0.6), 0.016, metal)
    else:
        for i in range(3):
            t.box((0, front, 0.11 + tall / 3 * i), (wide - 0.03, 0.03, tall / 3 - 0.025))
            z = 0.11 + tall / 3 * (i + 0.5)
            t.rod((-0.14, front - 0.04, z), (0.14, front - 0.04, z), 0.016, metal)
    for side in (-1, 1):
        t.box((side * (wide / 2 - 0.005), 0.012, 0.08), (0.02, deep - 0.02, high - 0.1))
    t.reach, t.tops = wide * 0.52, [(0, -0.02, high + 0.01, wide * 0.42, deep * 0.3)]
    return t


def lamp(rng: Rng) -> Thing:
    """Build a floor lamp with a shade on a pole."""
    t = Thing("lamp", rng)
    metal = random_paint(rng)
    high, radius = t.uniform(1.25, 1.7), t.uniform(0.2, 0.28)
    glow = t.paint._replace(texture=Texture.GLOW) if rng.random() < 0.5 else t.paint
    t.cylinder((0, 0, 0), radius * 0.75, 0.04, metal)
    t.cylinder((0, 0, 0), 0.022, high - 0.2, metal)
    t.cylinder((0, 0, high - 0.32), radius, 0.34, glow, taper=t.uniform(0.45, 0.7))
    t.reach = 0.3
    return t


def rug(rng: Rng) -> Thing:
    """Build a round or rectangular rug with a border."""
    t = Thing("rug", rng, textures=(Texture.CHECKS, Texture.STRIPES, Texture.NOISE))
    t.paint = t.paint._replace(b=random_paint(rng).a) if rng.random() < 0.5 else t.paint
    border = random_paint(rng)
    if rng.random() < 0.35:
        radius = t.uniform(0.8, 1.3)
        t.cylinder((0, 0, 0), radius, 0.012, border)
        t.cylinder((0, 0, 0), radius * 0.88, 0.018)
    else:
        wide, deep = t.uniform(1.5, 2.6), t.uniform(1.0, 1.7)
        t.box((0, 0, 0), (wide, deep, 0.012), border)
        t.box((0, 0, 0), (wide - 0.2, deep - 0.2, 0.018))
    t.shadow = False
    return t


def bench(rng: Rng) -> Thing:
    """Build a bench with slats for seat and back."""
    t = Thing("bench", rng, textures=(Texture.WOOD, Texture.PLAIN))
    wide = t.uniform(1.3, 1.8)
    metal = random_paint(rng).shade(0.7)
    for y in (-0.2, -0.02, 0.16):
        t.box((0, y, 0.43), (wide, 0.13, 0.04))
    for z in (0.56, 0.76):
        t.box((0, 0.27 + (z - 0.56) * 0.2, z), (wide, 0.035, 0.13), rotation=rotation_x(-0.15))
    for side in (-1, 1):
        x = side * (wide / 2 - 0.12)
        t.box((x, 0, 0.39), (0.06, 0.5, 0.04), metal)
        t.box((x, -0.2, 0), (0.06, 0.06, 0.4), metal)
        t.rod((x, 0.2, 0), (x, 0.33, 0.86), 0.035, metal)
    t.reach, t.tops = wide * 0.48, [(0, -0.02, 0.47, wide * 0.4, 0.12)]
    return t
