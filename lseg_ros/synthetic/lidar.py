"""A spinning lidar in the synthetic world."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.synthetic.primitives import Solids, intersect
from lseg_ros.synthetic.scene import NEAR_M

__all__ = ["LIDAR_IN_CAMERA", "Lidar", "scan"]

Array = NDArray[Any]
# The lidar is 20 cm above the camera and 10 cm behind it. Its axes are x forward, y left, z up (REP 103).
LIDAR_IN_CAMERA = np.array([[0, -1, 0, 0], [0, 0, -1, -0.2], [1, 0, 0, -0.1], [0, 0, 0, 1]], np.float64)


@dataclass(frozen=True)
class Lidar:
    """Rays of a spinning lidar.

    All rays of a turn start at the same time, as after the correction of a driver.

    Attributes:
        rings: Number of rings, evenly spaced in elevation.
        columns: Number of rays of a ring, evenly spaced over 360 degrees.
        lowest_deg: Elevation of the lowest ring in degrees.
        highest_deg: Elevation of the highest ring in degrees.
        range_m: Longest distance that is measured.
    """

    rings: int = 64
    columns: int = 1024
    lowest_deg: float = -25.0
    highest_deg: float = 15.0
    range_m: float = 60.0

    def __post_init__(self) -> None:
        if self.rings < 2 or self.columns < 4:
            raise ValueError(f"Lidar: expected at least 2 rings and 4 columns, got {self.rings} x {self.columns}")
        if not -90 < self.lowest_deg < self.highest_deg < 90:
            raise ValueError(f"Lidar: expected -90 < lowest_deg < highest_deg < 90, got {self}")

    def angles(self) -> tuple[Array, Array]:
        """Return azimuth (columns,) and elevation (rings,) in radians.

        Azimuth goes to the left, from 0 to 2 pi, and elevation from top to bottom.
        """
        # Half a step off, because a ray that is exactly parallel to a face of a box would miss it.
        azimuth = (np.arange(self.columns) + 0.5) * (2 * math.pi / self.columns)
        return azimuth, np.radians(np.linspace(self.highest_deg, self.lowest_deg, self.rings))


def scan(solids: Solids, position: Array, rotation: Array, lidar: Lidar) -> tuple[Array, Array]:
    """Find the nearest solid of every ray.

    Args:
        solids: The solids.
        position: (3,) position of the lidar in meters.
        rotation: (3, 3) rotation in the world. Its columns are the axes of the lidar.
        lidar: The rays.

    Returns:
        (rings, columns, 3) float32 points in the frame of the lidar, NaN without a return, and (rings, columns) int32
        index of the solid, -1 = none.
    """
    azimuth, elevation = lidar.angles()
    level, up = np.cos(elevation)[:, None], np.sin(elevation)[:, None]
    rays = np.stack(np.broadcast_arrays(level * np.cos(azimuth), level * np.sin(azimuth), up), -1).astype(np.float32)
    distance = np.full(rays.shape[:2], np.inf, np.float32)
    solid = np.full(rays.shape[:2], -1, np.int32)
    center = (solids.center - position) @ rotation
    reach = np.linalg.norm(solids.extent, axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for index in range(len(center)):
            to_local = solids.rotation[index].T @ rotation / solids.half[index][:, None]
            start = solids.rotation[index].T @ (position - solids.center[index]) / solids.half[index]
            for area in _areas(center[index], reach[index], azimuth, elevation):
                x, y, z = (rays[area] @ to_local.T.astype(np.float32)).transpose(2, 0, 1)
                t = intersect(int(solids.kind[index]), float(solids.taper[index]), tuple(start.tolist()), x, y, z)
                nearer = (t < distance[area]) & (t > NEAR_M)
                distance[area][nearer], solid[area][nearer] = t[nearer], index
    missing = ~(distance <= lidar.range_m)
    distance[missing], solid[missing] = np.nan, -1
    return rays * distance[..., None], solid


def _areas(center: Array, reach: float, azimuth: Array, elevation: Array) -> Iterator[tuple[slice, slice]]:
    """Yield the rings and columns that a sphere can cover."""
    level_m = math.hypot(center[0], center[1])
    rings, columns = slice(None), len(azimuth)
    distance = math.hypot(level_m, center[2])
    if distance > reach:
        middle, half = math.atan2(center[2], level_m), math.asin(reach / distance)
        inside = np.flatnonzero(np.abs(elevation - middle) <= half)
        if not inside.size:
            return
        rings = slice(int(inside[0]), int(inside[-1]) + 1)
    if level_m <= reach:
        yield rings, slice(None)
        return
    middle, half = math.atan2(center[1], center[0]), math.asin(reach / level_m)
    step = 2 * math.pi / columns
    first, last = math.floor((middle - half) / step - 0.5), math.ceil((middle + half) / step - 0.5) + 1
    for turn in (-columns, 0, columns):
        begin, end = max(first - turn, 0), min(last - turn, columns)
        if begin < end:
            yield rings, slice(begin, end)
