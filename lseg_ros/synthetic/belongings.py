"""Plants, television, containers and tools."""

from __future__ import annotations

import math

import numpy as np

from lseg_ros.synthetic.materials import Paint, Texture, random_paint, rgb_paint
from lseg_ros.synthetic.things import Thing, rotation_x, rotation_y

__all__ = ["ball", "barrel", "bottle", "box", "cup", "hammer", "ladder", "leaf_paint", "potted_plant", "television"]

Rng = np.random.Generator
_METAL = Paint(Texture.PLAIN, (0.36, 0.37, 0.4), (0.2, 0.2, 0.22))
_DARK = Paint(Texture.PLAIN, (0.012, 0.012, 0.014), (0.006, 0.006, 0.006))


def leaf_paint(rng: Rng) -> Paint:
    """Draw a leaf color from green to yellow-brown."""
    hue = rng.random()
    rgb = np.array([56, 120, 48]) * (1 - hue) + np.array([128, 134, 52]) * hue
    if rng.random() < 0.15:
        rgb = np.array([178, 106, 44])
    rgb = rgb * rng.uniform(0.75, 1.2)
    return rgb_paint(tuple(rgb), Texture.TUFTS, 5.0)._replace(b=rgb_paint(tuple(rgb * 0.45)).a)


def potted_plant(rng: Rng) -> Thing:
    """Build a pot with a bush, a fan of leaves or a cactus, up to the height of a table."""
    t = Thing("potted plant", rng)
    leaf = leaf_paint(rng)
    t.cylinder((0, 0, 0), 0.13, 0.24, taper=1.35)
    t.cylinder((0, 0, 0.22), 0.19, 0.05)
    t.ring((0, 0, 0.272), 0.17, 0.0, _DARK)
    kind = rng.random()
    if kind < 0.4:
        for _ in range(8):
            angle, out, up = t.uniform(0, 6.28), t.uniform(0.2, 0.34), t.uniform(0.25, 0.6)
            end = (out * math.cos(angle), out * math.sin(angle), 0.27 + up)
            t.rod((0, 0, 0.25), end, 0.055, leaf.shade(t.uniform(0.7, 1.2)), taper=0.15)
    elif kind < 0.8:
        t.cylinder((0, 0, 0.25), 0.03, 0.2, rgb_paint((92, 66, 44)))
        for _ in range(6):
            at = (t.uniform(-0.14, 0.14), t.uniform(-0.14, 0.14), t.uniform(0.46, 0.78))
            t.ball(at, (t.uniform(0.12, 0.19),) * 3, leaf.shade(t.uniform(0.75, 1.2)))
    else:
        t.cylinder((0, 0, 0.25), 0.09, 0.45, leaf)
        t.ball((0, 0, 0.7), 0.09, leaf)
        for side in (-1, 1):
            z = t.uniform(0.4, 0.55)
            t.rod((0, 0, z), (side * 0.18, 0, z), 0.05, leaf)
            t.rod((side * 0.18, 0, z - 0.03), (side * 0.18, 0, z + 0.18), 0.055, leaf)
    t.reach, t.scale = 0.36, t.uniform(0.8, 1.4)
    return t


def television(rng: Rng) -> Thing:
    """Build a flat screen with a frame and a foot."""
    t = Thing("television", rng)
    wide = t.uniform(0.8, 1.2)
    high = wide * 0.58
    frame = t.paint
    if rng.random() < 0.5:
        shown = random_paint(rng, (Texture.NOISE, Texture.STRIPES, Texture.CHECKS))
        screen = shown._replace(texture=Texture.GLOW) if rng.random() < 0.5 else shown.shade(0.8)
    else:
        screen = _DARK
    t.box((0, 0, 0), (wide * 0.45, 0.2, 0.03), frame)
    t.box((0, 0.02, 0.02), (0.1, 0.04, 0.1), frame)
    t.box((0, 0.01, 0.1), (wide, 0.05, high), frame)
    t.rectangle((0, -0.017, 0.1 + high / 2), wide - 0.09, high - 0.09, screen, rotation_x(math.pi / 2))
    t.reach = wide * 0.45
    return t


def box(rng: Rng) -> Thing:
    """Build a carton, closed with tape or open with its flaps out."""
    t = Thing("box", rng)
    wide, deep, high = t.uniform(0.3, 0.6), t.uniform(0.28, 0.5), t.uniform(0.22, 0.5)
    t.box((0, 0, 0), (wide, deep, high))
    tape = random_paint(rng)
    if rng.random() < 0.5:
        t.box((0, 0, 0.0), (wide * 0.16, deep + 0.006, high + 0.004), tape)
    else:
        t.rectangle((0, 0, high + 0.002), wide * 0.92, deep * 0.92, _DARK)
        for side in (-1, 1):
            t.box(
                (side * (wide / 2 + 0.07), 0, high + 0.01),
                (0.2, deep, 0.012),
                t.paint.shade(1.15),
                rotation_y(side * 0.5),
            )
    t.reach, t.tops = 0.35, [(0, 0, high, wide * 0.2, deep * 0.2)]
    return t


def ball(rng: Rng) -> Thing:
    """Build a plain, striped or checked ball."""
    t = Thing("ball", rng, textures=(Texture.PLAIN, Texture.STRIPES, Texture.CHECKS))
    radius = t.uniform(0.12, 0.26)
    t.ball((0, 0, radius), radius, rotation=rotation_y(t.uniform(0, 3)))
    t.reach = radius
    return t


def bottle(rng: Rng) -> Thing:
    """Build a bottle with shoulders, neck, cap and label."""
    t = Thing("bottle", rng)
    radius, high = t.uniform(0.055, 0.075), t.uniform(0.2, 0.26)
    t.cylinder((0, 0, 0), radius, high)
    t.cylinder((0, 0, high), radius, 0.07, taper=0.38)
    t.cylinder((0, 0, high + 0.07), radius * 0.38, 0.08)
    t.cylinder((0, 0, high + 0.14), radius * 0.46, 0.035, random_paint(rng))
    t.cylinder((0, 0, high * 0.25), radius * 1.02, high * 0.4, random_paint(rng))
    t.reach, t.scale = 0.12, t.uniform(1.0, 1.35)
    return t


def cup(rng: Rng) -> Thing:
    """Build a wide, short, open cup with a handle."""
    t = Thing("cup", rng, textures=(Texture.PLAIN, Texture.STRIPES))
    radius, high = t.uniform(0.075, 0.1), t.uniform(0.13, 0.18)
    t.cylinder((0, 0, 0), radius * 0.85, high, taper=1.18)
    t.ring((0, 0, high + 0.001), radius * 0.88, 0.0, rgb_paint((58, 38, 26)))
    for y in (-0.008, 0.0, 0.008):
        t.ring((radius * 1.1, y, high * 0.52), high * 0.36, 0.58, rotation=rotation_x(math.pi / 2))
    t.reach, t.scale = 0.14, t.uniform(1.0, 1.4)
    return t


def hammer(rng: Rng) -> Thing:
    """Build a hammer that lies or stands on its head."""
    t = Thing("hammer", rng)
    head = _METAL.shade(t.uniform(0.3, 1.3)) if rng.random() < 0.6 else random_paint(rng)
    long, fat = t.uniform(0.42, 0.6), t.uniform(0.05, 0.07)
    if rng.random() < 0.35:
        t.box((0, 0, 0), (0.24, 2 * fat, 2 * fat), head)
        t.cylinder((0, 0, 2 * fat), 0.028, long)
    else:
        t.rod((-long / 2, 0, fat), (long / 2, 0, fat), 0.028)
        t.box((long / 2, 0, 0), (2 * fat, 0.2, 2 * fat), head)
        t.rod((long / 2, -0.1, fat), (long / 2, -0.19, fat), fat * 0.95, head, taper=0.2)
    t.reach, t.scale = 0.3, t.uniform(1.0, 1.25)
    return t


def ladder(rng: Rng) -> Thing:
    """Build a step ladder with two rails, rungs and rear legs."""
    t = Thing("ladder", rng)
    high, wide = t.uniform(1.5, 2.3), t.uniform(0.4, 0.5)
    slope = t.uniform(0.2, 0.32)
    rungs = int(high / 0.28)
    for x in (-wide / 2, wide / 2):
        t.rod((x, 0, 0), (x, slope * high, high), 0.03)
    for i in range(1, rungs + 1):
        z = high * i / (rungs + 0.5)
        t.rod((-wide / 2, slope * z, z), (wide / 2, slope * z, z), 0.022, t.paint.shade(1.1))
    for x in (-wide / 2, wide / 2):
        t.rod((x, 2 * slope * high, 0), (x, slope * high, high), 0.025, t.paint.shade(0.8))
    t.reach = 0.55
    return t


def barrel(rng: Rng) -> Thing:
    """Build a barrel with hoops that is widest in the middle."""
    t = Thing("barrel", rng, textures=(Texture.PLAIN, Texture.WOOD))
    radius, high = t.uniform(0.27, 0.34), t.uniform(0.75, 0.95)
    hoop = random_paint(rng).shade(0.7)
    t.cylinder((0, 0, 0), radius * 0.88, high / 2, taper=1 / 0.88)
    t.cylinder((0, 0, high / 2), radius, high / 2, taper=0.88)
    for z, size in ((0.12, 0.94), (0.42, 1.01), (0.58, 1.01), (0.84, 0.95)):
        t.cylinder((0, 0, high * z), radius * size, 0.045, hoop)
    t.cylinder((0, 0, high - 0.001), radius * 0.8, 0.003, t.paint.shade(0.6))
    t.reach, t.tops = radius + 0.05, [(0, 0, high, radius * 0.4, radius * 0.4)]
    return t
