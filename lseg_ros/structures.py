"""Data classes shared by the whole package. They are frozen and check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lseg_ros.vocabulary import Label, Vocabulary

__all__ = [
    "CLOUD_DTYPE",
    "POINT_DTYPE",
    "Cloud",
    "Frame",
    "Intrinsics",
    "LabelCloud",
    "Segmentation",
    "StampedTransform",
    "to_xyz",
]

# A point of a label cloud and a point of the organized cloud, in the memory layout of PointCloud2: little endian, no
# padding. rgb is the bit pattern 0x00RRGGBB, declared as a float because PCL and RViz expect that.
CLOUD_DTYPE = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<f4")])
POINT_DTYPE = np.dtype([*CLOUD_DTYPE.descr, ("label", "<u4"), ("confidence", "<f4")])


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion.

    The axes are those of an optical frame (REP 103): x right, y down, z forward. Pixel centers have integer
    coordinates.

    Attributes:
        fx: Horizontal focal length in pixels.
        fy: Vertical focal length in pixels.
        cx: Column of the principal point in pixels.
        cy: Row of the principal point in pixels.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
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


class StampedTransform(NamedTuple):
    """The pose of a coordinate frame in its parent frame (geometry_msgs/TransformStamped).

    Attributes:
        stamp_ns: Stamp in nanoseconds.
        frame_id: Parent frame.
        child_frame_id: The frame.
        translation: x, y, z in meters.
        rotation: Quaternion x, y, z, w.
    """

    stamp_ns: int
    frame_id: str
    child_frame_id: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Cloud:
    """The cloud of a lidar, and its place in the camera of one frame.

    Attributes:
        xyz: (N, 3) float32 meters in the frame of the lidar, not finite without a return.
        to_camera: (4, 4) float64, maps the points to the optical frame of the camera at the stamp of its image.
        shape: Rows and columns of the cloud, N in product.
        stamp_ns: Stamp of the cloud in nanoseconds.
        frame_id: Name of the coordinate frame of the lidar.
    """

    xyz: NDArray[np.float32]
    to_camera: NDArray[np.float64]
    shape: tuple[int, int]
    stamp_ns: int = 0
    frame_id: str = ""

    def __post_init__(self) -> None:
        count = self.shape[0] * self.shape[1]
        if self.xyz.shape != (count, 3) or self.xyz.dtype != np.float32:
            raise ValueError(f"xyz: expected ({count}, 3) float32, got {self.xyz.shape} {self.xyz.dtype}")
        if self.to_camera.shape != (4, 4):
            raise ValueError(f"to_camera: expected a 4x4 matrix, got {self.to_camera.shape}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera frame.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth_m: (H, W) float32 depth along z in meters, registered to the image, NaN where unknown; or None.
        intrinsics: Intrinsics of the image, or None.
        stamp_ns: Capture time in nanoseconds.
        frame_id: Name of the optical coordinate frame.
        cloud: Lidar points that were measured at about the same time, or None.
    """

    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None
    stamp_ns: int = 0
    frame_id: str = ""
    cloud: Cloud | None = None

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
        """(H, W) of the image."""
        return self.image.shape[:2]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segmentation of one frame.

    Attributes:
        label_map: (H, W) uint8 ids of ``vocabulary``, 0 = unlabeled.
        confidence: (H, W) uint8, softmax of the winning label x 255: at least 1 for labeled pixels, 0 for others.
        vocabulary: The label set that the ids refer to.
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
    """The points of one label.

    Attributes:
        label: The label.
        points: (N,) of CLOUD_DTYPE in the optical frame. All coordinates are finite.
    """

    label: Label
    points: NDArray[np.void]

    def __post_init__(self) -> None:
        if self.points.ndim != 1 or self.points.dtype != CLOUD_DTYPE:
            raise ValueError(
                f"points: expected (N,) of {CLOUD_DTYPE.names}, got {self.points.shape} of {self.points.dtype}"
            )

    @property
    def xyz(self) -> NDArray[np.float32]:
        """(N, 3) float32 meters, a view."""
        return to_xyz(self.points)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(N, 3) uint8, a view."""
        octets = self.points.view(np.uint8).reshape(-1, CLOUD_DTYPE.itemsize)
        return octets[:, 14:11:-1]  # little endian: blue is the first byte of 0x00RRGGBB


def to_xyz(points: NDArray[np.void]) -> NDArray[np.float32]:
    """Return the coordinates of points as a view.

    Args:
        points: (...) of CLOUD_DTYPE or POINT_DTYPE.

    Returns:
        (..., 3) float32 meters.
    """
    return points.view("<f4").reshape(*points.shape, points.itemsize // 4)[..., :3]
