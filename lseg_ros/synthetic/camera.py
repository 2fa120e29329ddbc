"""The camera of the synthetic world: its intrinsics and the path along which it moves."""

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
    """A smooth closed path. The camera looks around the direction +y.

    Attributes:
        middle: Center of the path in meters.
        sway: Radius of the path in meters.
        heading: Mean yaw in radians, positive to the right.
        pan: Amplitude of the yaw in radians.
        pitch: Mean pitch in radians, positive upwards.
        nod: Amplitude of the pitch in radians.
        period_s: Time to complete the path once, in seconds.
        phase: Phase at time 0 in radians.
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
        """Return the pose at a time.

        Returns:
            Position (3,) in meters and rotation (3, 3) in the world. The columns of the rotation are the camera's axes:
            x right, y down, z forward.
        """
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
    """Return the intrinsics of an image of any size.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        focal: Focal length in image widths.
    """
    return Intrinsics(focal * width, focal * width, (width - 1) / 2, (height - 1) / 2, width, height)
