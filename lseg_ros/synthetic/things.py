"""Things: painted solids that are built in a local frame and placed in the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.synthetic.classes import class_id
from lseg_ros.synthetic.materials import Paint, Texture, random_paint
from lseg_ros.synthetic.primitives import Kind

__all__ = ["Point", "Thing", "rotation_x", "rotation_y"]

Point = tuple[float, float, float]
Array = NDArray[Any]
_UPRIGHT = np.eye(3)
_GRAY = Paint(Texture.PLAIN, (0.5, 0.5, 0.5), (0.4, 0.4, 0.4))


def rotation_x(angle: float) -> Array:
    """Return the rotation about x.

    A positive angle tilts the top to the front. The front of every thing is -y.
    """
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def rotation_y(angle: float) -> Array:
    """Return the rotation about y. A positive angle tilts the top towards +x."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


class Thing:
    """One instance of a class.

    In its frame, x points right, y back and z up. The origin is on the ground below its center.

    Attributes:
        label: Class id.
        name: Class name.
        rng: Random generator.
        paint: Paint of parts that have no other one.
        parts: Tuples (kind, center, half, rotation, taper, paint).
        position: Position in the world in meters.
        yaw: Yaw in the world in radians.
        scale: Factor on all sizes.
        reach: Radius of the ground that is kept free, in meters before scaling.
        shadow: Whether it casts a shadow.
        tops: Surfaces that other things can stand on: (x, y, z, half width, half depth).
    """

    def __init__(
        self, name: str, rng: np.random.Generator, *, colored: bool = True, textures: tuple[Texture, ...] = ()
    ):
        self.label = class_id(name)
        self.name = name
        self.rng = rng
        self.paint = random_paint(rng, textures) if colored else _GRAY
        self.parts: list[tuple[int, Point, Point, Array, float, Paint]] = []
        self.position: Point = (0.0, 0.0, 0.0)
        self.yaw = 0.0
        self.scale = 1.0
        self.reach = 0.5
        self.shadow = True
        self.tops: list[tuple[float, float, float, float, float]] = []

    def uniform(self, low: float, high: float) -> float:
        """Draw a value between two limits."""
        return float(self.rng.uniform(low, high))

    def box(self, at: Point, size: Point, paint: Paint | None = None, rotation: Array = _UPRIGHT) -> None:
        """Add a box. ``at`` is the center of its base before ``rotation`` about its own center."""
        center = (at[0], at[1], at[2] + size[2] / 2)
        self._add(Kind.BOX, center, (size[0] / 2, size[1] / 2, size[2] / 2), rotation, 1.0, paint)

    def ball(self, at: Point, size: Point | float, paint: Paint | None = None, rotation: Array = _UPRIGHT) -> None:
        """Add an ellipsoid with radii ``size`` around ``at``."""
        radii = (size, size, size) if isinstance(size, (int, float)) else size
        self._add(Kind.ELLIPSOID, at, radii, rotation, 1.0, paint)

    def cylinder(
        self,
        at: Point,
        radius: float,
        height: float,
        paint: Paint | None = None,
        taper: float = 1.0,
        rotation: Array = _UPRIGHT,
        squash: float = 1.0,
    ) -> None:
        """Add a frustum that stands at ``at``.

        ``taper`` is the top radius relative to the base, ``squash`` the radius along y relative to x.
        """
        center = (at[0], at[1], at[2] + height / 2)
        self._add(Kind.FRUSTUM, center, (radius, radius * squash, height / 2), rotation, taper, paint)

    def rod(self, start: Point, end: Point, radius: float, paint: Paint | None = None, taper: float = 1.0) -> None:
        """Add a frustum from one point to another."""
        a, b = np.asarray(start), np.asarray(end)
        length = float(np.linalg.norm(b - a))
        z = (b - a) / length
        side = np.array([1.0, 0.0, 0.0]) if abs(z[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
        x = side - (side @ z) * z
        x /= math.sqrt(x @ x)
        y = np.array([z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2], z[0] * x[1] - z[1] * x[0]])
        middle = (a + b) / 2
        rotation = np.stack([x, y, z], 1)
        self._add(Kind.FRUSTUM, tuple(middle), (radius, radius, length / 2), rotation, taper, paint)

    def ring(
        self, at: Point, radius: float, inner: float = 0.0, paint: Paint | None = None, rotation: Array = _UPRIGHT
    ) -> None:
        """Add a flat ring around ``at``, horizontal unless rotated.

        ``inner`` is relative to the radius; 0 gives a disc.
        """
        self._add(Kind.RING, at, (radius, radius, 1.0), rotation, inner, paint)

    def rectangle(
        self, at: Point, width: float, height: float, paint: Paint | None = None, rotation: Array = _UPRIGHT
    ) -> None:
        """Add a flat rectangle around ``at``, horizontal unless rotated."""
        self._add(Kind.RECTANGLE, at, (width / 2, height / 2, 1.0), rotation, 1.0, paint)

    def legs(self, width: float, depth: float, height: float, radius: float, paint: Paint | None = None) -> None:
        """Add four legs below a surface."""
        for x in (-width / 2 + radius, width / 2 - radius):
            for y in (-depth / 2 + radius, depth / 2 - radius):
                self.box((x, y, 0.0), (2 * radius, 2 * radius, height), paint)

    def place_at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Thing:
        """Set the pose in the world."""
        self.position, self.yaw = (x, y, z), yaw
        return self

    def extents(self) -> tuple[float, float, float]:
        """Return half the width, the extent to the back and the height, before the yaw is applied."""
        kinds, at, half, rotations, _, _ = zip(*self.parts)
        half = np.array(half) * np.where(np.array(kinds) >= Kind.RECTANGLE, [[1.0], [1.0], [0.0]], 1.0).T
        center, reach = np.array(at), np.einsum("pij,pj->pi", np.abs(np.array(rotations)), half)
        width = np.abs(center[:, 0]) + reach[:, 0]
        deep, high = (center + reach)[:, 1:].max(0)
        return self.scale * float(width.max()), self.scale * float(deep), self.scale * float(high)

    def world_tops(self) -> Sequence[tuple[float, float, float, float, float, float]]:
        """Return ``tops`` in the world: (x, y, z, half width, half depth, yaw)."""
        c, s, k = math.cos(self.yaw), math.sin(self.yaw), self.scale
        px, py, pz = self.position
        return [
            (px + k * (c * x - s * y), py + k * (s * x + c * y), pz + k * z, k * w, k * d, self.yaw)
            for x, y, z, w, d in self.tops
        ]

    def _add(self, kind: Kind, at: Point, half: Point, rotation: Array, taper: float, paint: Paint | None) -> None:
        self.parts.append((int(kind), at, half, rotation, taper, self.paint if paint is None else paint))
