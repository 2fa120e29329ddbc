"""Find a text in a frame: the most similar pixel and its point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import unproject
from lseg_ros.lidar import visible_points
from lseg_ros.structures import Frame, Intrinsics

__all__ = ["QueryResult", "locate"]

_WINDOW_PX = 8  # in each direction
_LIDAR_REACH = 3.0  # mean distances of lidar points in the image, from the pixel to its point


@dataclass(frozen=True, eq=False)
class QueryResult:
    """The pixel of a frame that is most similar to a text.

    Attributes:
        similarity: (H, W) float32 cosine similarity, -1 to 1.
        score: The maximum of ``similarity``.
        pixel: Column and row of the maximum.
        point: (3,) float64 meters in the optical frame, or None if neither depth nor a lidar point is known there.
    """

    similarity: NDArray[np.float32]
    score: float
    pixel: tuple[int, int]
    point: NDArray[np.float64] | None


def locate(
    similarity: NDArray[np.float32],
    frame: Frame,
    nearest_m: float = 0.0,
    farthest_m: float = np.inf,
) -> QueryResult:
    """Find the maximum of a similarity image, and its point.

    If the pixel has no valid depth, the point is that of the most similar pixel that has valid depth and is at most 8
    columns and rows away. This pixel is more likely to be on the same object than the nearest one. If there is none,
    the point is the point of the frame's cloud that is nearest in the image.

    Args:
        similarity: (H, W) float32 cosine similarity.
        frame: The frame.
        nearest_m: Smallest valid depth.
        farthest_m: Largest valid depth.
    """
    row, column = divmod(int(similarity.argmax()), similarity.shape[1])
    point = _nearby_point(similarity, frame, row, column, nearest_m, farthest_m)
    if point is None:
        point = _nearest_lidar_point(frame, row, column, nearest_m, farthest_m)
    return QueryResult(similarity, float(similarity[row, column]), (column, row), point)


def _nearby_point(
    similarity: NDArray[np.float32], frame: Frame, row: int, column: int, nearest_m: float, farthest_m: float
) -> NDArray[np.float64] | None:
    if frame.depth_m is None or frame.intrinsics is None:
        return None
    top, left = max(row - _WINDOW_PX, 0), max(column - _WINDOW_PX, 0)
    window = np.s_[top : row + _WINDOW_PX + 1, left : column + _WINDOW_PX + 1]
    depth_m, camera = frame.depth_m[window], frame.intrinsics
    height, width = depth_m.shape
    window_camera = Intrinsics(camera.fx, camera.fy, camera.cx - left, camera.cy - top, width, height)
    xyz = unproject(depth_m, window_camera, nearest_m, farthest_m)
    known = np.isfinite(xyz[..., 2])
    if not known.any():
        return None
    best = np.where(known, similarity[window], -np.inf).argmax()
    return xyz.reshape(-1, 3)[best].astype(np.float64)


def _nearest_lidar_point(
    frame: Frame, row: int, column: int, nearest_m: float, farthest_m: float
) -> NDArray[np.float64] | None:
    if frame.cloud is None or frame.intrinsics is None:
        return None
    _, pixel, xyz = visible_points(frame.cloud, frame.intrinsics, nearest_m, farthest_m)
    if not len(pixel):
        return None
    height, width = frame.size
    rows, columns = np.divmod(pixel, width)
    squared_px = (rows - row) ** 2 + (columns - column) ** 2
    nearest = int(squared_px.argmin())
    limit_px = max(_LIDAR_REACH * (height * width / len(pixel)) ** 0.5, _WINDOW_PX)
    return xyz[nearest].astype(np.float64) if squared_px[nearest] <= limit_px**2 else None
