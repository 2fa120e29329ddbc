"""Pictures of a map, seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.mapping.language_map import Voxels
from lseg_ros.mapping.search import Place
from lseg_ros.text_drawing import draw_text

__all__ = ["TopView", "draw_map", "heat_colors", "view_from_above", "write_picture"]

_BACKGROUND = (24, 26, 30)
_MARK = (255, 255, 255)
_MAX_SIDE_PX = 1200
_MARGIN_PX = 24
_FONT_PX = 16
_SHOWN = 0.3  # similarities from the best one down to this much less have a color scale


@dataclass(frozen=True, eq=False)
class TopView:
    """A map from above, x to the right and y up.

    Attributes:
        index: (H, W) int64 index of the voxel that each pixel shows, -1 for none.
        left_m: Coordinate x of the left edge in meters.
        back_m: Coordinate y of the upper edge in meters.
        pixel_m: Edge length of a pixel in meters.
    """

    index: NDArray[np.int64]
    left_m: float
    back_m: float
    pixel_m: float

    def paint(self, colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 with the colors (N, 3) uint8 RGB of the voxels."""
        picture = np.full((*self.index.shape, 3), _BACKGROUND, np.uint8)
        shown = self.index >= 0
        picture[shown] = colors[self.index[shown]]
        return picture

    def pixel(self, point: NDArray[np.float64]) -> tuple[int, int]:
        """Return column and row of a point (3,) in the map."""
        x, y = point[:2].tolist()
        return math.floor((x - self.left_m) / self.pixel_m), math.floor((self.back_m - y) / self.pixel_m)


def view_from_above(voxels: Voxels, voxel_m: float, ceiling_m: float | None = None, max_side_px: int = 1) -> TopView:
    """View a map from above. Higher voxels cover lower ones.

    Args:
        voxels: The contents of the map.
        voxel_m: Edge length of the voxels in meters.
        ceiling_m: Voxels above this height are not shown; None chooses the height so that a ceiling disappears.
        max_side_px: A voxel has as many pixels as fit into this length, and at least one.
    """
    if not len(voxels.centers):
        return TopView(np.full((1, 1), -1), 0.0, 0.0, voxel_m)
    if ceiling_m is None:
        low, high = np.percentile(voxels.centers[:, 2], (2, 98))
        ceiling_m = low + 0.85 * (high - low) + voxel_m
    shown = np.flatnonzero(voxels.centers[:, 2] <= ceiling_m)
    shown = shown[np.argsort(voxels.centers[shown, 2], kind="stable")]  # the last assignment to a pixel counts
    cells = np.floor(voxels.centers[shown, :2] / voxel_m).astype(int)
    (left, front), (right, back) = cells.min(axis=0).tolist(), cells.max(axis=0).tolist()
    index = np.full((back - front + 1, right - left + 1), -1)
    index[back - cells[:, 1], cells[:, 0] - left] = shown
    scale = max(max_side_px // max(index.shape), 1)
    index = index.repeat(scale, axis=0).repeat(scale, axis=1)
    return TopView(index, left * voxel_m, (back + 1) * voxel_m, voxel_m / scale)


def draw_map(
    voxels: Voxels,
    voxel_m: float,
    colors: NDArray[np.uint8] | None = None,
    places: Sequence[Place] = (),
    ceiling_m: float | None = None,
) -> NDArray[np.uint8]:
    """Draw a map from above, x to the right and y up. Higher voxels cover lower ones.

    Args:
        voxels: The contents of the map.
        voxel_m: Edge length of the voxels in meters.
        colors: (N, 3) uint8 RGB of the voxels; None takes those of the images.
        places: Places to mark with their rank and score.
        ceiling_m: Voxels above this height are not drawn; None chooses the height so that a ceiling disappears.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not len(voxels.centers):
        return np.full((64, 64, 3), _BACKGROUND, np.uint8)
    view = view_from_above(voxels, voxel_m, ceiling_m, _MAX_SIDE_PX)
    picture = view.paint(voxels.colors if colors is None else colors)
    picture = np.pad(
        picture, ((_MARGIN_PX, _MARGIN_PX), (_MARGIN_PX, _MARGIN_PX), (0, 0)), constant_values=_BACKGROUND[0]
    )
    for rank, place in enumerate(places, start=1):
        column, row = view.pixel(place.point)
        center = (column + _MARGIN_PX, row + _MARGIN_PX)
        cv2.circle(picture, center, _FONT_PX // 2, _MARK, 2, cv2.LINE_AA)
        draw_text(picture, f"{rank}: {place.score:.2f}", (center[0] + _FONT_PX, center[1]), _FONT_PX, _MARK)
    return picture


def heat_colors(similarity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (N, 3) uint8 RGB colors of similarities, red for the best and blue for low ones."""
    if not similarity.size:
        return np.empty((0, 3), np.uint8)
    share = 1 - (float(similarity.max()) - similarity) / _SHOWN
    bgr = cv2.applyColorMap((255 * share.clip(0, 1)).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr[:, 0, ::-1])


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB as a .png or .jpg file.

    Raises:
        ValueError: The name has another ending.
    """
    if path.suffix.lower() not in (".png", ".jpg"):
        raise ValueError(f"picture: expected a file name that ends in .png or .jpg, got {path.name!r}")
    path.write_bytes(cv2.imencode(path.suffix, picture[..., ::-1])[1].tobytes())
