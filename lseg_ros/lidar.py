"""Labels for the points of a lidar: projection, occlusion, several cameras."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import pack_rgb
from lseg_ros.structures import POINT_DTYPE, Cloud, Frame, Intrinsics, Segmentation, to_xyz

__all__ = ["LabeledCloud", "fill_organized", "label_cloud", "merge_labels", "visible_points"]

_Array = TypeVar("_Array", bound=NDArray[Any])

_NEAR_M = 0.05
_WORDS = POINT_DTYPE.itemsize // 4
# The mean distance d of points in the image is the square root of its pixels per point.
_CELL = 0.7  # edge of a cell of the depth buffer, in d
_REACH = 1.5  # a point is hidden if nearer points surround it within this distance, in d
_MAX_REACH_RAD = 0.05
# How much nearer they are: a share of the depth, and meters.
_MARGIN = 0.1
_MARGIN_M = 0.1


@dataclass(frozen=True, eq=False)
class LabeledCloud:
    """The points of a lidar that one camera sees.

    Attributes:
        cloud: The cloud.
        index: (M,) index in the cloud of each point that the camera sees, ascending.
        pixel: (M,) index of its pixel in the flattened image.
        points: (M,) of POINT_DTYPE in the optical frame of the camera, with the label, confidence and color of its
            pixel.
    """

    cloud: Cloud
    index: NDArray[np.intp]
    pixel: NDArray[np.intp]
    points: NDArray[np.void]


def label_cloud(
    frame: Frame, segmentation: Segmentation, nearest_m: float = 0.0, farthest_m: float = np.inf
) -> LabeledCloud:
    """Label the points of a cloud that the camera sees.

    Args:
        frame: A frame with a cloud and intrinsics.
        segmentation: Segmentation of the frame.
        nearest_m: Smallest valid depth.
        farthest_m: Largest valid depth.

    Raises:
        ValueError: The frame has no cloud or no intrinsics.
    """
    if frame.cloud is None or frame.intrinsics is None:
        raise ValueError("cloud: expected a frame with a cloud and intrinsics")
    index, pixel, xyz = visible_points(frame.cloud, frame.intrinsics, nearest_m, farthest_m)
    points = np.empty(len(index), POINT_DTYPE)
    to_xyz(points)[:] = xyz
    points["rgb"] = pack_rgb(frame.image.reshape(-1, 1, 3).take(pixel, axis=0))[:, 0]
    points["label"] = segmentation.label_map.reshape(-1).take(pixel)
    points["confidence"] = segmentation.confidence.reshape(-1).take(pixel) * np.float32(1 / 255)
    return LabeledCloud(frame.cloud, index, pixel, points)


def fill_organized(points: NDArray[np.void], labeled: LabeledCloud) -> None:
    """Fill the pixels of an organized cloud that have no point with lidar points.

    Each gets the nearest point that it shows.

    Args:
        points: (H, W) of POINT_DTYPE, changed in place.
        labeled: The lidar points that the camera sees.
    """
    flat = to_xyz(points.reshape(-1))
    empty = np.flatnonzero(np.isnan(flat[:, 2].take(labeled.pixel)))
    far_first = empty[np.argsort(-labeled.points["z"][empty], kind="stable")]  # the last assignment to a pixel counts
    flat[labeled.pixel[far_first]] = to_xyz(labeled.points)[far_first]


def merge_labels(cloud: Cloud, views: Iterable[LabeledCloud]) -> NDArray[np.void]:
    """Combine what several cameras see of one cloud.

    If they disagree, the highest confidence wins.

    Args:
        cloud: The cloud.
        views: The cloud as seen by each camera.

    Returns:
        (rows, columns) of POINT_DTYPE with all points of the cloud in the frame of the lidar. Label, confidence and
        color are 0 for points that no camera sees or whose pixel is unlabeled.
    """
    points = np.zeros(len(cloud.xyz), POINT_DTYPE)
    to_xyz(points)[:] = cloud.xyz
    bits = points.view("<u4").reshape(len(points), _WORDS)  # one row per point: three coordinates, then what views know
    confidence = np.zeros(len(points), np.float32)
    for view in views:
        seen = view.points["confidence"]
        better = np.flatnonzero(seen > confidence.take(view.index))
        index = view.index.take(better)
        confidence[index] = seen[better]
        known = view.points.view("<u4").reshape(len(seen), _WORDS)
        for word in range(3, _WORDS):  # each needs less than half of the time of a selection in two dimensions
            bits[index, word] = known[:, word].take(better)
    return points.reshape(cloud.shape)


def visible_points(
    cloud: Cloud, camera: Intrinsics, nearest_m: float = 0.0, farthest_m: float = np.inf
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Find the points of a cloud that a camera sees.

    A lidar that is not at the camera measures points that are hidden from it. Between the points of the object in front
    of them there are gaps, so a point counts as hidden if nearer points surround it: opposite quadrants around it both
    contain some. Floors seen at a flat angle have nearer points on one side only.

    Args:
        cloud: The cloud.
        camera: Intrinsics of the image.
        nearest_m: Smallest valid depth.
        farthest_m: Largest valid depth.

    Returns:
        (M,) index of each visible point in the cloud, (M,) index of its pixel in the flattened image, and (M, 3)
        float32 coordinates in the optical frame.
    """
    rotation, offset = cloud.to_camera[:3, :3].astype(np.float32), cloud.to_camera[:3, 3].astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        # Three matrix products with one row each: coordinates stay contiguous, and only points ahead need the others.
        z = cloud.xyz @ rotation[2] + offset[2]
        index = np.flatnonzero((z >= max(nearest_m, _NEAR_M)) & (z <= min(farthest_m, np.finfo(np.float32).max)))
        z, ahead = _take(z, index), _take(cloud.xyz, index)
        x, y = ahead @ rotation[0] + offset[0], ahead @ rotation[1] + offset[1]
        column, row = _to_pixel(x, z, camera.fx, camera.cx), _to_pixel(y, z, camera.fy, camera.cy)
        inside = np.flatnonzero((column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height))
    x, y, z = (_take(values, inside) for values in (x, y, z))
    u, v = _take(column, inside).astype(np.int32), _take(row, inside).astype(np.int32)
    seen = np.flatnonzero(~_is_surrounded(u, v, z, camera))
    pixel = _take(v, seen).astype(np.intp)
    pixel *= camera.width
    pixel += _take(u, seen)
    return _take(_take(index, inside), seen), pixel, np.stack([_take(values, seen) for values in (x, y, z)], axis=1)


def _take(values: _Array, index: NDArray[np.intp]) -> _Array:
    """Return the rows of an ascending index without repetitions; all rows without a copy."""
    return values if len(index) == len(values) else values.take(index, axis=0)  # type: ignore[return-value]


def _to_pixel(x: NDArray[np.float32], z: NDArray[np.float32], focal: float, center: float) -> NDArray[np.float32]:
    """Project coordinates and round to the nearest column or row."""
    projected = x / z
    projected *= np.float32(focal)  # new arrays would take more time than the arithmetic
    projected += np.float32(center)
    return np.rint(projected, out=projected)


def _is_surrounded(
    column: NDArray[np.int32], row: NDArray[np.int32], z: NDArray[np.float32], camera: Intrinsics
) -> NDArray[np.bool_]:
    """Return for each point whether nearer points surround it in the image."""
    distance_px = (camera.width * camera.height / max(len(z), 1)) ** 0.5
    cell_px = max(round(_CELL * distance_px), 1)
    reach = max(round(min(_REACH * distance_px, _MAX_REACH_RAD * camera.fx) / cell_px), 1)  # in cells
    columns, rows = (camera.width - 1) // cell_px + 1, (camera.height - 1) // cell_px + 1
    cell = row * columns + column if cell_px == 1 else row // cell_px * columns + column // cell_px
    depth = np.full((rows, columns), np.inf, np.float32)
    np.minimum.at(depth.reshape(-1), cell, z)
    # Nearest point of each quadrant. The row of the point belongs to none, because at a flat angle it covers a floor at
    # very different depths.
    quadrants = [_minimum(depth, (reach + 1, reach), (left, top)) for left in (-reach, 0) for top in (-reach, 1)]
    hidden_beyond = np.minimum(np.maximum(quadrants[0], quadrants[3]), np.maximum(quadrants[1], quadrants[2]))
    limit = z * np.float32(1 - _MARGIN)
    limit -= np.float32(_MARGIN_M)
    return hidden_beyond.reshape(-1).take(cell) < limit


def _minimum(depth: NDArray[np.float32], size: tuple[int, int], corner: tuple[int, int]) -> NDArray[np.float32]:
    """Return for each cell the smallest depth of a rectangle near it, infinite if it is empty.

    Args:
        depth: (rows, columns) depth buffer.
        size: Columns and rows of the rectangle.
        corner: Column and row of its first cell, relative to the cell.
    """
    (width, height), (left, top) = size, corner
    before_x, after_x = max(-left, 0), max(left + width - 1, 0)
    before_y, after_y = max(-top, 0), max(top + height - 1, 0)
    framed = cv2.copyMakeBorder(depth, before_y, after_y, before_x, after_x, cv2.BORDER_CONSTANT, value=float("inf"))
    smallest: Any = cv2.erode(framed, np.ones((height, width), np.uint8), anchor=(0, 0))
    rows, columns = depth.shape
    first_row, first_column = before_y + top, before_x + left
    found: NDArray[np.float32] = smallest[first_row : first_row + rows, first_column : first_column + columns]
    return found
