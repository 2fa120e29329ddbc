"""Vehicles. Their length is along x."""

from __future__ import annotations

import math

import numpy as np

from lseg_ros.synthetic.materials import Paint, Texture, random_paint, rgb_paint
from lseg_ros.synthetic.things import Thing, rotation_x, rotation_y

__all__ = ["bicycle", "bus", "car", "truck"]

Rng = np.random.Generator
_TIRE = rgb_paint((30, 30, 32))
_LIGHT = rgb_paint((244, 238, 200))
_TAIL_LIGHT = rgb_paint((190, 26, 26))


def _glass(rng: Rng) -> Paint:
    return rgb_paint(tuple(np.array([70, 88, 102]) * rng.uniform(0.45, 1.6)), Texture.NOISE, 1.5)


def _wheels(t: Thing, places: tuple[float, ...], half_width: float, radius: float) -> None:
    """Add a pair of wheels at every position along x."""
    for x in places:
        for side in (-1, 1):
            y = side * (half_width - 0.1)
            t.cylinder((x, y, radius - 0.13), radius, 0.26, _TIRE, rotation=rotation_x(math.pi / 2))
            t.ring(
                (x, y + side * 0.135, radius), radius * 0.58, 0.0, rgb_paint((176, 178, 182)), rotation_x(math.pi / 2)
            )


def car(rng: Rng) -> Thing:
    """Build a car."""
    t = Thing("car", rng)
    glass = _glass(rng)
    long, half = t.uniform(3.5, 4.3), 0.82
    t.box((0, 0, 0.28), (long, 2 * half, 0.42))
    t.box((-0.02, 0, 0.68), (long * 0.94, 2 * half - 0.1, 0.14), t.paint.shade(1.05))
    cabin = long * t.uniform(0.5, 0.58)
    back = 0.18 if rng.random() < 0.5 else 0.32
    t.cylinder((back, 0, 0.8), cabin / 2, 0.5, glass, taper=0.74, squash=0.75 / (cabin / 2))
    t.box((back, 0, 1.27), (cabin * 0.68, 1.12, 0.07))
    for x in (back - cabin * 0.14, back + cabin * 0.16):
        for side in (-1, 1):
            t.rod((x, side * 0.76, 0.8), (x, side * 0.57, 1.29), 0.035)
    _wheels(t, (-long * 0.31, long * 0.31), half, 0.33)
    for side in (-1, 1):
        t.ball((-long / 2 + 0.02, side * 0.58, 0.55), (0.05, 0.16, 0.09), _LIGHT)
        t.box((long / 2, side * 0.6, 0.5), (0.03, 0.26, 0.12), _TAIL_LIGHT)
    for x in (-1, 1):
        t.box((x * long / 2, 0, 0.24), (0.12, 2 * half, 0.16), t.paint.shade(0.4))
    t.reach = 1.9
    return t


def truck(rng: Rng) -> Thing:
    """Build a truck with a cab, a closed cargo box and six wheels."""
    t = Thing("truck", rng)
    cargo = random_paint(rng, (Texture.PLAIN, Texture.STRIPES))._replace(per_m=1.2)
    glass, dark = _glass(rng), rgb_paint((44, 44, 48))
    t.box((0, 0, 0.5), (5.2, 1.0, 0.22), dark)
    t.box((0.85, 0, 0.75), (3.6, 2.0, t.uniform(1.6, 2.0)), cargo)
    t.box((-2.0, 0, 0.5), (1.3, 1.9, 1.0))
    t.box((-1.85, 0, 1.5), (1.0, 1.8, 0.6))
    t.box((-2.36, 0, 1.5), (0.05, 1.6, 0.5), glass, rotation_y(0.14))
    t.box((-1.95, 0, 1.5), (0.6, 1.84, 0.45), glass)
    for side in (-1, 1):
        t.box((-2.66, side * 0.7, 0.75), (0.05, 0.28, 0.18), _LIGHT)
        t.box((2.67, side * 0.8, 0.6), (0.05, 0.25, 0.15), _TAIL_LIGHT)
    _wheels(t, (-1.85, 0.9, 2.0), 0.95, 0.46)
    t.reach = 2.5
    return t


def bus(rng: Rng) -> Thing:
    """Build a bus with a row of windows and doors and a stripe below them."""
    t = Thing("bus", rng)
    glass = _glass(rng)
    long, high = t.uniform(6.0, 7.5), t.uniform(1.95, 2.3)
    t.box((0, 0, 0.35), (long, 2.1, high))
    t.box((0, 0, 0.35 + high), (long * 0.97, 1.9, 0.12), t.paint.shade(1.1))
    t.box((0, 0, 0.62), (long + 0.01, 2.12, 0.14), random_paint(rng))
    count = int(long / 1.05)
    for i in range(count):
        x = -long / 2 + long * (i + 0.5) / count
        door = i in (0, count // 2)
        t.box((x, 0, 0.5 if door else 1.2), (long / count - 0.18, 2.13, high - (0.3 if door else 1.12)), glass)
    t.box((-long / 2, 0, 1.0), (0.04, 1.85, high - 0.95), glass)
    t.box((long / 2, 0, 1.3), (0.04, 1.7, high - 1.3), glass)
    for side in (-1, 1):
        t.box((-long / 2, side * 0.75, 0.66), (0.05, 0.3, 0.2), _LIGHT)
        t.box((long / 2, side * 0.8, 0.6), (0.05, 0.25, 0.2), _TAIL_LIGHT)
    _wheels(t, (-long * 0.3, long * 0.3), 1.08, 0.44)
    t.reach = 3.2
    return t


def bicycle(rng: Rng) -> Thing:
    """Build a bicycle."""
    t = Thing("bicycle", rng)
    wheel, upright = 0.34, rotation_x(math.pi / 2)
    back, front, pedal, seat, head = (
        (0.52, 0, wheel), (-0.52, 0, wheel), (0.06, 0, 0.3), (0.2, 0, 0.78), (-0.36, 0, 0.8),
    )  # fmt: skip
    for x, _, z in (back, front):
        for y in (-0.018, 0.0, 0.018):
            t.ring((x, y, z), wheel, 0.84, _TIRE, upright)
        t.cylinder((x, 0, z - 0.04), 0.04, 0.08, _TIRE, rotation=upright)
        for i in range(4):
            dx, dz = 0.3 * math.cos(0.4 + i * math.pi / 4), 0.3 * math.sin(0.4 + i * math.pi / 4)
            t.rod((x - dx, 0, z - dz), (x + dx, 0, z + dz), 0.006, rgb_paint((170, 172, 176)))
    for start, end in ((pedal, seat), (seat, head), (pedal, head), (pedal, back), (seat, back), (head, front)):
        t.rod(start, end, 0.026)
    t.rod(seat, (0.23, 0, 0.9), 0.02, _TIRE)
    t.ball((0.22, 0, 0.92), (0.15, 0.08, 0.045), _TIRE)
    t.rod(head, (-0.39, 0, 0.96), 0.022)
    t.rod((-0.39, -0.27, 0.97), (-0.39, 0.27, 0.97), 0.024, _TIRE)
    t.cylinder((pedal[0], 0, pedal[2] - 0.02), 0.09, 0.04, _TIRE, rotation=upright)
    t.reach, t.scale = 0.85, t.uniform(0.95, 1.15)
    return t
