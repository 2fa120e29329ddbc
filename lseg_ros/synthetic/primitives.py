"""Solids with closed-form ray intersections.

Every solid is defined in a unit frame, with ``world = center + rotation @ (half * unit)``:

* A box fills [-1, 1]^3.
* An ellipsoid is the unit sphere.
* A frustum (cylinder or cone) stands along z in [-1, 1], with radius 1 at the bottom and ``taper`` at the top.
* A rectangle is z = 0 with |x|, |y| <= 1.
* A ring is z = 0 with ``taper`` <= radius <= 1.

Rays are ``origin + t * direction``. The direction has z = 1 in the camera, so that t is the depth along z in meters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kind", "Solids", "intersect", "unit_normals"]

Array = NDArray[Any]


class Kind(IntEnum):
    """Kind of a solid. Flat kinds come last."""

    BOX = 0
    ELLIPSOID = 1
    FRUSTUM = 2
    RECTANGLE = 3
    RING = 4


@dataclass(frozen=True, eq=False)
class Solids:
    """P solids as float64 arrays.

    Attributes:
        kind: (P,) int8, a ``Kind``.
        center: (P, 3) meters.
        half: (P, 3) half sizes in meters. Flat kinds have 1 along z, so that their frame is invertible.
        rotation: (P, 3, 3), columns are the axes of the solid in the world.
        taper: (P,) top radius of frustums, inner radius of rings, relative to the radius.
    """

    kind: Array
    center: Array
    half: Array
    rotation: Array
    taper: Array

    def __post_init__(self) -> None:
        count = len(self.kind)
        shapes = (self.center.shape, self.half.shape, self.rotation.shape, self.taper.shape)
        if shapes != ((count, 3), (count, 3), (count, 3, 3), (count,)):
            raise ValueError(f"Solids: expected arrays of {count} solids, got shapes {shapes}")
        if not np.all(self.half > 0):
            raise ValueError("half: expected positive sizes in meters")

    @property
    def extent(self) -> Array:
        """(P, 3) half sizes of the bounding boxes in the frames of the solids.

        They differ from ``half`` for frustums that widen upwards, and are 0 along z for flat kinds.
        """
        extent = self.half.copy()
        extent[:, :2] *= np.where(self.kind == Kind.FRUSTUM, np.maximum(self.taper, 1.0), 1.0)[:, None]
        extent[self.kind >= Kind.RECTANGLE, 2] = 0.0
        return extent


def intersect(kind: int, taper: float, origin: tuple[float, float, float], dx: Array, dy: Array, dz: Array) -> Array:
    """Intersect rays with one solid in its unit frame.

    Divisions by zero are part of the formulas: call it within ``np.errstate(divide="ignore", invalid="ignore")``.

    Args:
        kind: Kind of the solid.
        taper: Taper of the solid.
        origin: Origin of all rays, outside the solid.
        dx: x of the directions, any shape.
        dy: y of the directions, the same shape.
        dz: z of the directions, the same shape.

    Returns:
        The smallest t of the intersections, NaN or inf for rays that miss, negative if the solid is behind the origin.
    """
    if kind == Kind.BOX:
        return _intersect_box(origin, dx, dy, dz)
    if kind == Kind.ELLIPSOID:
        return _intersect_ellipsoid(origin, dx, dy, dz)
    if kind == Kind.FRUSTUM:
        return _intersect_frustum(taper, origin, dx, dy, dz)
    t = -origin[2] / dz
    x, y = np.abs(origin[0] + t * dx), np.abs(origin[1] + t * dy)
    if kind == Kind.RECTANGLE:
        inside = np.maximum(x, y) <= 1.0
    else:
        square = x * x + y * y
        inside = (square <= 1.0) & (square >= taper * taper)
    return np.where(inside, t, np.inf)


def _intersect_box(origin: tuple[float, float, float], dx: Array, dy: Array, dz: Array) -> Array:
    enter, leave = np.float32(-np.inf), np.float32(np.inf)
    for start, d in zip(origin, (dx, dy, dz)):
        inverse = 1.0 / d
        middle, reach = -start * inverse, np.abs(inverse)
        enter, leave = np.maximum(enter, middle - reach), np.minimum(leave, middle + reach)
    return np.where(enter <= leave, enter, np.inf)


def _intersect_ellipsoid(origin: tuple[float, float, float], dx: Array, dy: Array, dz: Array) -> Array:
    ox, oy, oz = origin
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    return -(b + np.sqrt(b * b - a * (ox * ox + oy * oy + oz * oz - 1.0))) / a


def _intersect_frustum(taper: float, origin: tuple[float, float, float], dx: Array, dy: Array, dz: Array) -> Array:
    ox, oy, oz = origin
    slope, middle = (taper - 1.0) / 2, (taper + 1.0) / 2  # radius = middle + slope * z
    radius = middle + slope * oz
    a = dx * dx + dy * dy - slope * slope * dz * dz
    b = ox * dx + oy * dy - radius * slope * dz
    root = np.sqrt(b * b - a * (ox * ox + oy * oy - radius * radius))
    t = -(b + root) / a
    t = np.where(np.abs(oz + t * dz) <= 1.0, t, np.inf)
    if slope:  # a ray steeper than the side hits this half of the double cone at the other root
        other = (root - b) / a
        t = np.where((np.abs(oz + other * dz) <= 1.0) & (other < t), other, t)
    if abs(oz) > 1.0:  # the origin is above or below: the end face is visible
        lid = 1.0 if oz > 0 else -1.0
        edge = middle + slope * lid
        at = (lid - oz) / dz
        x, y = ox + at * dx, oy + at * dy
        t = np.where((x * x + y * y <= edge * edge) & (at < t), at, t)
    return t


def unit_normals(kind: Array, taper: Array, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return surface normals at points (N,) in the unit frame, not normalized.

    The normal of flat kinds is +z.
    """
    ax, ay, az = np.abs(x), np.abs(y), np.abs(z)
    box = kind == Kind.BOX
    frustum = kind == Kind.FRUSTUM
    flat = (kind >= Kind.RECTANGLE) | (frustum & (az > 0.9995))
    face_x = box & (ax >= ay) & (ax >= az)
    face_y = box & ~face_x & (ay >= az)
    face_z = box & ~face_x & ~face_y
    slope = (taper - 1.0) / 2
    side_z = -slope * (slope * z + (taper + 1.0) / 2)
    nx = np.where(flat | face_y | face_z, 0.0, x)
    ny = np.where(flat | face_x | face_z, 0.0, y)
    nz = np.where(face_x | face_y, 0.0, np.where(frustum & ~flat, side_z, z))
    nz = np.where(flat & ~frustum, 1.0, nz)
    return nx, ny, nz
