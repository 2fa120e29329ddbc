"""The camera: its lens, and the smooth path along which somebody carries it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Intrinsics

__all__ = ["CameraPath", "pinhole"]


@dataclass(frozen=True)
class CameraPath:
    """A closed path around ``middle``, looking about around +y.

    Lengths in meters, angles in radians. ``sway`` is the radius of the path, ``pan`` how far it looks to either
    side; one round takes ``period_s``.
    """

    middle: tuple[float, float, float]
    sway: float
    heading: float
    pan: float
    pitch: float
    nod: float
    period_s: float
    phase: float

    def pose(self, t_s: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Position (3,) and rotation (3, 3) in the world; columns are the camera's x right, y down, z forward."""
        angle = 2 * math.pi * t_s / self.period_s + self.phase
        x, y, z = self.middle
        position = np.array([
            x + self.sway * math.cos(angle), y + 0.6 * self.sway * math.sin(2 * angle), z + 0.05 * math.sin(3 * angle),
        ])  # fmt: skip
        yaw = self.heading + self.pan * math.sin(angle)  # to the right
        pitch = self.pitch + self.nod * math.sin(2 * angle + 1.0)  # upwards
        cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
        forward = (sy * cp, cy * cp, sp)
        right = (cy, -sy, 0.0)
        down = (sy * sp, cy * sp, -cp)
        return position, np.array([right, down, forward]).T


def pinhole(width: int, height: int, focal: float) -> Intrinsics:
    """Intrinsics of an image of any size: ``focal`` is the focal length in image widths."""
    return Intrinsics(focal * width, focal * width, (width - 1) / 2, (height - 1) / 2, width, height)
