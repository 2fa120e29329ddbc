"""People and animals. Fur and feathers use a small set of natural colors."""

from __future__ import annotations

import numpy as np

from lseg_ros.synthetic.materials import Paint, Texture, random_paint, rgb_paint
from lseg_ros.synthetic.things import Thing, rotation_x

__all__ = ["bird", "cat", "dog", "horse", "person"]

Rng = np.random.Generator
_FUR = {"brown": (112, 72, 44), "black": (36, 34, 36), "white": (226, 222, 212), "gray": (128, 126, 124)}
_EYE = rgb_paint((12, 12, 12))


def _animal(name: str, rng: Rng) -> Thing:
    t = Thing(name, rng, colored=False)
    color = tuple(_FUR)[rng.integers(len(_FUR))]
    rgb = np.asarray(_FUR[color]) * rng.uniform(0.85, 1.12)
    t.paint = rgb_paint(tuple(rgb), Texture.NOISE, 9.0)._replace(name=color)
    return t


def person(rng: Rng) -> Thing:
    """Build a standing or walking person."""
    t = Thing("person", rng, textures=(Texture.PLAIN, Texture.STRIPES, Texture.CHECKS))
    skin = rgb_paint(tuple(np.array([232, 188, 158]) * (1 - (k := rng.random())) + np.array([92, 58, 42]) * k))
    hair = rgb_paint(
        ((26, 22, 20), (92, 58, 30), (206, 168, 92), (170, 168, 164))[rng.integers(4)], Texture.NOISE, 20.0
    )
    legs, shoes = random_paint(rng), random_paint(rng).shade(0.6)
    step, lift = t.uniform(0.0, 0.22), t.uniform(0.02, 0.2)
    for side in (-1, 1):
        x, foot = side * 0.1, side * step
        t.rod((x, foot, 0.06), (x * 0.9, 0, 0.86), 0.065, legs, taper=1.35)
        t.box((x, foot - 0.05, 0), (0.1, 0.26, 0.08), shoes)
        hand = (side * (0.24 + lift), -side * step * 0.9 - lift * 0.5, 0.84 + lift * 0.9)
        t.rod((side * 0.2, 0, 1.38), hand, 0.058, taper=0.75)
        t.ball(hand, 0.065, skin)
    if rng.random() < 0.25:
        t.cylinder((0, 0, 0.42), 0.3, 0.5, legs, taper=0.55)
    t.cylinder((0, 0, 0.8), 0.165, 0.46, taper=1.2, squash=0.68)
    t.ball((0, 0, 1.27), (0.225, 0.135, 0.2))
    t.cylinder((0, 0, 1.4), 0.05, 0.12, skin)
    t.ball((0, -0.01, 1.6), (0.1, 0.115, 0.14), skin)
    t.ball((0, 0.025, 1.65), (0.112, 0.115, 0.115), hair)
    for side in (-1, 1):
        t.ball((side * 0.04, -0.11, 1.62), 0.016, _EYE)
    t.reach, t.scale = 0.42, t.uniform(0.72, 1.06)
    return t


def _legs(t: Thing, width: float, length: float, top: float, radius: float, swing: float) -> None:
    for i, (x, y) in enumerate(((-1, -1), (1, -1), (-1, 1), (1, 1))):
        foot = swing * (1 if i in (0, 3) else -1)
        t.rod((x * width, y * length + foot, 0), (x * width, y * length, top), radius, t.paint.shade(0.85), taper=1.5)


def dog(rng: Rng) -> Thing:
    """Build a dog with a long body and muzzle, hanging ears and a raised tail."""
    t = _animal("dog", rng)
    _legs(t, 0.1, 0.25, 0.38, 0.034, t.uniform(0, 0.08))
    t.ball((0, 0.02, 0.44), (0.14, 0.4, 0.145))
    t.ball((0, -0.24, 0.46), (0.145, 0.18, 0.17))
    t.rod((0, -0.3, 0.48), (0, -0.46, 0.68), 0.1, taper=0.8)
    t.ball((0, -0.5, 0.72), (0.11, 0.14, 0.11))
    t.rod((0, -0.56, 0.7), (0, -0.78, 0.65), 0.07, t.paint.shade(0.85), taper=0.7)
    t.ball((0, -0.79, 0.665), 0.035, _EYE)
    for side in (-1, 1):
        t.ball((side * 0.115, -0.46, 0.67), (0.03, 0.06, 0.12), t.paint.shade(0.55))
        t.ball((side * 0.06, -0.61, 0.76), 0.02, _EYE)
    t.rod((0, 0.38, 0.5), (0, 0.6, 0.76), 0.04, taper=0.35)
    if rng.random() < 0.5:
        t.cylinder((0, -0.4, 0.53), 0.105, 0.05, random_paint(rng), rotation=rotation_x(0.7))
    t.reach, t.scale = 0.6, t.uniform(0.75, 1.15)
    return t


def cat(rng: Rng) -> Thing:
    """Build a sitting or walking cat with a round head, pointed ears and a long thin tail."""
    t = _animal("cat", rng)
    t.paint = t.paint._replace(texture=Texture.STRIPES, per_m=9.0) if rng.random() < 0.4 else t.paint
    if rng.random() < 0.5:
        head = (0.0, -0.1, 0.5)
        t.ball((0, 0.06, 0.16), (0.15, 0.18, 0.16))
        t.ball((0, -0.03, 0.28), (0.105, 0.11, 0.2), rotation=rotation_x(-0.1))
        for side in (-1, 1):
            t.rod((side * 0.055, -0.13, 0), (side * 0.05, -0.09, 0.28), 0.033)
        tail = [(0, 0.2, 0.04), (0.18, 0.26, 0.04), (0.3, 0.12, 0.06), (0.3, -0.02, 0.08)]
    else:
        head = (0.0, -0.34, 0.42)
        _legs(t, 0.07, 0.2, 0.26, 0.026, t.uniform(0, 0.06))
        t.ball((0, 0, 0.29), (0.095, 0.3, 0.1))
        t.rod((0, -0.22, 0.31), (0, -0.33, 0.39), 0.07)
        tail = [(0, 0.26, 0.33), (0, 0.42, 0.4), (0, 0.46, 0.56), (0, 0.4, 0.7)]
    x, y, z = head
    t.ball(head, (0.12, 0.1, 0.1))
    t.ball((x, y - 0.085, z - 0.03), (0.05, 0.035, 0.035), t.paint.shade(1.25))
    for side in (-1, 1):
        t.cylinder((x + side * 0.072, y + 0.01, z + 0.06), 0.05, 0.12, taper=0.0, squash=0.5)
        t.ball((x + side * 0.045, y - 0.09, z + 0.02), 0.02, rgb_paint((150, 190, 60)))
    for i, end in enumerate(tail[1:]):
        t.rod(tail[i], end, 0.026)
        t.ball(end, 0.026)
    t.reach, t.scale = 0.38, t.uniform(0.9, 1.3)
    return t


def horse(rng: Rng) -> Thing:
    """Build a horse with long legs, a long neck with a mane and a long face."""
    t = _animal("horse", rng)
    mane = rgb_paint(_FUR[tuple(_FUR)[rng.integers(len(_FUR))]], Texture.NOISE, 20.0)
    _legs(t, 0.17, 0.52, 0.85, 0.055, t.uniform(0, 0.15))
    t.ball((0, 0, 1.02), (0.29, 0.8, 0.29))
    t.ball((0, 0.5, 1.05), (0.28, 0.33, 0.3))
    t.rod((0, -0.55, 1.1), (0, -0.98, 1.62), 0.2, taper=0.6)
    t.rod((0, -0.42, 1.28), (0, -0.86, 1.74), 0.09, mane)
    t.ball((0, -1.02, 1.64), (0.13, 0.2, 0.15))
    t.rod((0, -1.08, 1.62), (0, -1.38, 1.38), 0.115, taper=0.72)
    for side in (-1, 1):
        t.cylinder((side * 0.075, -0.95, 1.74), 0.04, 0.16, taper=0.1)
        t.ball((side * 0.11, -1.12, 1.66), 0.028, _EYE)
    t.rod((0, 0.78, 1.12), (0, 0.98, 0.55), 0.07, mane, taper=1.2)
    t.reach, t.scale = 1.1, t.uniform(0.85, 1.1)
    return t


def bird(rng: Rng) -> Thing:
    """Build a bird the size of a goose, with a neck, a beak, folded wings and thin legs."""
    t = _animal("bird", rng)
    beak = Paint(Texture.PLAIN, (0.75, 0.3, 0.03), (0.6, 0.2, 0.02))
    for side in (-1, 1):
        t.rod((side * 0.06, 0, 0), (side * 0.06, 0.02, 0.2), 0.016, beak)
        t.box((side * 0.06, -0.03, 0), (0.07, 0.12, 0.015), beak)
        t.ball((side * 0.12, 0.06, 0.33), (0.035, 0.22, 0.1), t.paint.shade(0.6), rotation_x(-0.15))
    t.ball((0, 0, 0.31), (0.13, 0.24, 0.14), rotation=rotation_x(-0.2))
    t.rod((0, 0.18, 0.34), (0, 0.42, 0.38), 0.07, t.paint.shade(0.6), taper=0.5)
    up = t.uniform(0.08, 0.3)
    t.rod((0, -0.15, 0.36), (0, -0.22, 0.42 + up), 0.055, taper=0.75)
    t.ball((0, -0.24, 0.46 + up), (0.065, 0.08, 0.07))
    t.rod((0, -0.29, 0.455 + up), (0, -0.42, 0.44 + up), 0.035, beak, taper=0.2)
    for side in (-1, 1):
        t.ball((side * 0.05, -0.275, 0.48 + up), 0.014, _EYE)
    t.reach, t.scale = 0.36, t.uniform(0.85, 1.3)
    return t
