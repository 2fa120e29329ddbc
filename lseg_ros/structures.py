"""The nouns that travel through the house: frozen, and checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.vocabulary import Label, Vocabulary

__all__ = ["CLOUD_DTYPE", "POINT_DTYPE", "Frame", "Intrinsics", "LabelCloud", "Segmentation", "to_xyz"]

# One point of a label's cloud, and of the organized cloud, as they lie in a PointCloud2: little endian, no padding.
# rgb is the bit pattern 0x00RRGGBB, which PCL and RViz want declared as a float.
CLOUD_DTYPE = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<f4")])
POINT_DTYPE = np.dtype([*CLOUD_DTYPE.descr, ("label", "<u4"), ("confidence", "<f4")])


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion, in pixels of an image of ``width`` x ``height``.

    Axes are those of an optical frame (REP 103): x right, y down, z forward. Pixel centers lie at whole numbers.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (self.fx > 0 and self.fy > 0 and self.width > 0 and self.height > 0):
            raise ValueError(f"Intrinsics: expected positive focal lengths and a positive size, got {self}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera frame.

    image: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 in meters along z, registered to the image, NaN where
    unknown, or None. intrinsics: of the image, or None. stamp_ns: capture time in nanoseconds. frame_id: the
    optical coordinate frame.
    """

    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None
    stamp_ns: int = 0
    frame_id: str = ""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8 or not self.image.size:
            raise ValueError(f"image: expected (H, W, 3) uint8 RGB, got {self.image.shape} {self.image.dtype}")
        if self.depth_m is not None and (self.depth_m.shape != self.size or self.depth_m.dtype != np.float32):
            raise ValueError(
                f"depth_m: expected {self.size} float32 like the image, got {self.depth_m.shape} {self.depth_m.dtype}"
            )
        if self.intrinsics is not None and (self.intrinsics.height, self.intrinsics.width) != self.size:
            raise ValueError(
                f"intrinsics: expected those of a {self.size[1]}x{self.size[0]} image, "
                f"got {self.intrinsics.width}x{self.intrinsics.height}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[:2]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the network saw in one frame.

    label_map: (H, W) uint8 ids of ``vocabulary``, 0 = unlabeled. confidence: (H, W) uint8, the softmax of the
    winning label x 255, at least 1 where labeled and 0 where not.
    """

    label_map: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        for name, array in (("label_map", self.label_map), ("confidence", self.confidence)):
            if array.ndim != 2 or array.dtype != np.uint8 or array.shape != self.label_map.shape:
                raise ValueError(f"{name}: expected (H, W) uint8 of one size, got {array.shape} {array.dtype}")


@dataclass(frozen=True, eq=False)
class LabelCloud:
    """The points of one label: (N,) of CLOUD_DTYPE in the optical frame, finite."""

    label: Label
    points: NDArray[np.void]

    def __post_init__(self) -> None:
        if self.points.ndim != 1 or self.points.dtype != CLOUD_DTYPE:
            raise ValueError(
                f"points: expected (N,) of {CLOUD_DTYPE.names}, got {self.points.shape} of {self.points.dtype}"
            )

    @property
    def xyz(self) -> NDArray[np.float32]:
        """(N, 3) meters, a view."""
        return to_xyz(self.points)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(N, 3), a view."""
        octets = self.points.view(np.uint8).reshape(-1, CLOUD_DTYPE.itemsize)
        return octets[:, 14:11:-1]  # of 0x00RRGGBB, blue comes first


def to_xyz(points: NDArray[np.void]) -> NDArray[np.float32]:
    """(..., 3) meters of an array (...) of CLOUD_DTYPE or POINT_DTYPE, a view."""
    return points.view("<f4").reshape(*points.shape, points.itemsize // 4)[..., :3]
