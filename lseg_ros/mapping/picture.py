"""Pictures of a map, seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.mapping.language_map import Voxels
from lseg_ros.mapping.search import Place
from lseg_ros.text_drawing import draw_text

__all__ = ["draw_map", "heat_colors", "write_picture"]

_BACKGROUND = (24, 26, 30)
_MARK = (255, 255, 255)
_MAX_SIDE_PX = 1200
_MARGIN_PX = 24
_FONT_PX = 16
_SHOWN = 0.3  # similarities from the best one down to this much less have a color scale


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
    if ceiling_m is None:
        low, high = np.percentile(voxels.centers[:, 2], (2, 98))
        ceiling_m = low + 0.85 * (high - low) + voxel_m
    drawn = np.flatnonzero(voxels.centers[:, 2] <= ceiling_m)
    drawn = drawn[np.argsort(voxels.centers[drawn, 2], kind="stable")]
    cells = np.rint(voxels.centers[:, :2] / voxel_m).astype(int)
    (left, front), (right, back) = cells[drawn].min(axis=0), cells[drawn].max(axis=0)
    picture = np.full((back - front + 1, right - left + 1, 3), _BACKGROUND, np.uint8)
    rgb = voxels.colors if colors is None else colors
    picture[back - cells[drawn, 1], cells[drawn, 0] - left] = rgb[drawn]
    scale = max(_MAX_SIDE_PX // max(picture.shape), 1)
    picture = np.kron(picture, np.ones((scale, scale, 1), np.uint8))
    picture = np.pad(
        picture, ((_MARGIN_PX, _MARGIN_PX), (_MARGIN_PX, _MARGIN_PX), (0, 0)), constant_values=_BACKGROUND[0]
    )
    for rank, place in enumerate(places, start=1):
        x, y = np.rint(place.point[:2] / voxel_m).astype(int)
        center = (int((x - left + 0.5) * scale) + _MARGIN_PX, int((back - y + 0.5) * scale) + _MARGIN_PX)
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
