"""Placement of things without collisions and out of the camera's path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lseg_ros.synthetic.belongings import ball, bottle, box, cup, hammer, potted_plant, television
from lseg_ros.synthetic.creatures import bird, cat
from lseg_ros.synthetic.furniture import chair, lamp
from lseg_ros.synthetic.outdoors import window
from lseg_ros.synthetic.things import Thing

__all__ = ["Site", "ThingFactory", "WeightedFactories", "pick"]

Rng = np.random.Generator
ThingFactory = Callable[[Rng], Thing]
WeightedFactories = Sequence[tuple[ThingFactory, float]]

_ON_TOP: WeightedFactories = (
    (cup, 3.0), (bottle, 3.0), (hammer, 2.2), (ball, 0.8), (box, 0.5), (potted_plant, 0.8), (lamp, 0.8),
    (television, 0.9), (cat, 0.6), (bird, 0.8),
)  # fmt: skip


def pick(rng: Rng, factories: WeightedFactories) -> ThingFactory:
    """Draw one factory from weighted factories."""
    weights = np.array([weight for _, weight in factories])
    return factories[int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random()))][0]


class Site:
    """The things of a scene and the ground they occupy.

    The camera moves around (0, 0); the ground there stays free.

    Attributes:
        rng: Random generator.
        left: Left bound in meters.
        right: Right bound in meters.
        front: Front bound in meters.
        back: Back bound in meters.
        things: The placed things.
    """

    def __init__(self, rng: Rng, bounds: tuple[float, float, float, float], clearance: float):
        self.rng = rng
        self.left, self.right, self.front, self.back = bounds
        self.things: list[Thing] = []
        self._taken: list[tuple[float, float, float]] = [(0.0, 0.0, clearance)]  # circles: x, y, radius

    def put(self, thing: Thing, x: float, y: float, yaw: float, z: float = 0.0, radius: float | None = None) -> Thing:
        """Place a thing and occupy the ground below it."""
        self.things.append(thing.place_at(x, y, z, yaw))
        self._taken.append((x, y, thing.reach * thing.scale if radius is None else radius))
        return thing

    def occupy(self, x: float, y: float, radius: float) -> None:
        """Keep a circle of the ground free of other things."""
        self._taken.append((x, y, radius))

    def is_free(self, x: float, y: float, radius: float) -> bool:
        """Return whether a circle is within the bounds and does not overlap occupied ground."""
        inside = self.left + radius < x < self.right - radius and self.front + radius < y < self.back - radius
        return inside and all((x - u) ** 2 + (y - v) ** 2 > (radius + r) ** 2 for u, v, r in self._taken)

    def scatter(self, thing: Thing, near: float, far: float, spread: float, yaw: float | None = None) -> bool:
        """Place a thing at a random position in front of the camera.

        Args:
            thing: The thing.
            near: Smallest distance in meters.
            far: Largest distance in meters.
            spread: Largest angle to either side in radians.
            yaw: Yaw in radians; None lets the thing roughly face the camera.

        Returns:
            False if there is no room.
        """
        radius = thing.reach * thing.scale
        for _ in range(12):
            distance = near + (far - near) * self.rng.random() ** 1.3 + radius
            angle = self.rng.uniform(-spread, spread)
            x, y = distance * math.sin(angle), distance * math.cos(angle)
            if self.is_free(x, y, radius):
                facing = -angle + self.rng.normal(0.0, 0.9) if yaw is None else yaw
                self.put(thing, x, y, facing)
                return True
        return False

    def fill_wall(self, wall: str, factories: WeightedFactories, chance: float) -> None:
        """Place things along a wall with their backs to it, and windows above the low ones."""
        length = self.right - self.left if wall == "back" else self.back - 0.7
        at = self.rng.uniform(0.15, 0.6)
        misses = 0
        while at < length and misses < 4:
            thing = pick(self.rng, factories)(self.rng)
            half, deep, high = thing.extents()
            end = at + 2 * half
            if end > length - (0.1 if wall == "back" else 0.6):
                misses += 1
                continue
            middle = at + half
            x, y, yaw, inward = {
                "back": (self.left + middle, self.back, 0.0, (0.0, -1.0)),
                "left": (self.left, 0.7 + middle, math.pi / 2, (1.0, 0.0)),
                "right": (self.right, 0.7 + middle, -math.pi / 2, (-1.0, 0.0)),
            }[wall]
            gap = deep + (0.04 if thing.name not in ("door", "window") else 0.0)
            raised = self.rng.uniform(0.75, 1.05) if thing.name == "window" else 0.0
            px, py = x + inward[0] * gap, y + inward[1] * gap
            radius = 0.05 if raised or thing.name == "door" else max(min(half, 0.9), deep) * 0.8
            if all((px - u) ** 2 + (py - v) ** 2 > (radius + r) ** 2 * 0.8 for u, v, r in self._taken):
                self.put(thing, px, py, yaw, raised, radius)
                if not raised and half > 0.4 and high < 1.0 and self.rng.random() < chance:
                    pane = window(self.rng, float(self.rng.uniform(0.75, min(1.5, 2 * half))))
                    self.put(pane, x + inward[0] * 0.02, y + inward[1] * 0.02, yaw, max(high + 0.2, 1.05), 0.01)
            at = end + self.rng.uniform(0.08, 0.5)

    def add_chairs(self, table: Thing) -> None:
        """Place chairs around a table."""
        x, y, _ = table.position
        half, deep, _ = table.extents()
        sides = (
            (0.0, deep + 0.2, 0.0),
            (0.0, -deep - 0.2, math.pi),
            (half + 0.2, 0.0, -1.57),
            (-half - 0.2, 0.0, 1.57),
        )
        for dx, dy, yaw in sides:
            if self.rng.random() < 0.55:
                c, s = math.cos(table.yaw), math.sin(table.yaw)
                u, v = x + c * dx - s * dy, y + s * dx + c * dy
                if math.hypot(u, v) > 1.35 and self.left < u - 0.3 and u + 0.3 < self.right and v + 0.3 < self.back:
                    self.put(chair(self.rng), u, v, table.yaw + yaw + self.rng.normal(0, 0.2))

    def add_tabletop_things(self, chance: float) -> None:
        """Place small things on the surfaces of other things."""
        for base in list(self.things):
            for x, y, z, half, deep, yaw in base.world_tops():
                if self.rng.random() > chance or math.hypot(x, y) > 5.5:
                    continue
                at = -half + self.rng.uniform(0.0, 0.2)
                while at < half:
                    thing = pick(self.rng, _ON_TOP)(self.rng)
                    if thing.name in ("lamp", "potted plant", "box"):
                        thing.scale *= 0.5
                    radius = thing.reach * thing.scale
                    at += radius * 0.8
                    if at > half + 0.05 and at > -half + radius:
                        break
                    off = self.rng.uniform(-deep, deep) * 0.7
                    c, s = math.cos(yaw), math.sin(yaw)
                    turned = yaw + self.rng.normal(0, 0.7)
                    self.things.append(thing.place_at(x + c * at - s * off, y + s * at + c * off, z, turned))
                    at += radius * 0.8 + self.rng.uniform(0.03, 0.25)
