"""Depth -> points: the organised labelled cloud, a cloud per label, voxel thinning.

Points are in metres in the camera's optical frame (REP 103): x right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Intrinsics, LabelCloud, Segmentation, pack_rgb
from lseg_ros.vocabulary import Label

__all__ = [
    "CLOUD_DTYPE",
    "POINT_DTYPE",
    "label_clouds",
    "organise",
    "pack_rgb",
    "project",
    "sample_depth",
    "thin",
    "unproject",
]


def sample_depth(depth_m: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Depth at the pixels of an image of another size (H, W) and the same aspect: the nearest sample, never a mixture.

    Raises ValueError where the aspects differ by more than a pixel's rounding.
    """
    (rows, columns), (height, width) = depth_m.shape, size
    if (rows, columns) == (height, width):
        return depth_m
    if abs(columns * height - width * rows) >= max(columns, rows, width, height):
        raise ValueError(f"depth: expected the aspect of the {width}x{height} image, got {columns}x{rows}")
    row = (2 * np.arange(height) + 1) * rows // (2 * height)  # the sample whose area holds the pixel's centre
    column = (2 * np.arange(width) + 1) * columns // (2 * width)
    return depth_m[row[:, None], column]


def unproject(
    depth_m: NDArray[np.float32], camera: Intrinsics, nearest_m: float = 0.0, farthest_m: float = np.inf
) -> NDArray[np.float32]:
    """Depth (H, W) -> points (H, W, 3) float32, NaN in all three where depth is unknown or out of range."""
    height, width = depth_m.shape
    z = depth_m
    if nearest_m > 0 or farthest_m < np.inf:
        z = np.where((z >= nearest_m) & (z <= farthest_m), z, np.float32(np.nan))
    points = np.empty((height, width, 3), np.float32)
    right = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    down = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)
    np.multiply(z, right, out=points[..., 0])
    np.multiply(z, down[:, None], out=points[..., 1])
    points[..., 2] = z
    return points


def project(xyz: NDArray[np.floating], camera: Intrinsics) -> NDArray[np.float64]:
    """Points (..., 3) in front of the camera -> their pixels (..., 2) as column, row; the inverse of ``unproject``."""
    x, y, z = (xyz[..., axis].astype(np.float64) for axis in range(3))
    return np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=-1)


def organise(xyz: NDArray[np.float32], image: NDArray[np.uint8], segmentation: Segmentation) -> NDArray[np.void]:
    """The organised cloud: (H, W) of POINT_DTYPE, one point per mask pixel, confidence from 0 to 1.

    Pixels without a point (NaN in x, y and z) keep colour, label and confidence, so that the cloud says what the
    mask says.
    """
    points = np.empty(xyz.shape[:2], POINT_DTYPE)
    for axis, name in enumerate("xyz"):
        points[name] = xyz[..., axis]
    points["rgb"] = pack_rgb(image)
    points["label"] = segmentation.label_map
    points["confidence"] = segmentation.confidence * np.float32(1 / 255)
    return points


def label_clouds(
    xyz: NDArray[np.float32],
    image: NDArray[np.uint8],
    segmentation: Segmentation,
    labels: Sequence[Label],
    voxel_m: float = 0.0,
) -> tuple[LabelCloud, ...]:
    """One cloud for each of ``labels``, in their order, empty where a label is not in view.

    Points keep the row order of the image. voxel_m thins each cloud (see ``thin``); 0 keeps every point.
    """
    labelled = np.where(np.isfinite(xyz[..., 2]), segmentation.label_map, 0).reshape(-1)
    order = np.argsort(labelled, kind="stable")  # a radix sort for uint8: quicker than a mask per label
    ends = np.cumsum(np.bincount(labelled, minlength=256))
    flat_xyz, flat_rgb = xyz.reshape(-1, 3), image.reshape(-1, 3)
    clouds = []
    for label in labels:
        chosen = order[ends[label.id - 1] : ends[label.id]]
        points = flat_xyz.take(chosen, axis=0)
        if voxel_m > 0:
            kept = thin(points, voxel_m)
            chosen, points = chosen[kept], points[kept]
        clouds.append(LabelCloud(label, points, flat_rgb.take(chosen, axis=0)))
    return tuple(clouds)


def thin(xyz: NDArray[np.float32], voxel_m: float) -> NDArray[np.intp]:
    """Indices, rising, of the first point in each cube of ``voxel_m`` of the optical frame.

    The first and not the mean: a point that was measured, with its own colour, and not one between two surfaces.
    """
    cell = np.floor(xyz / voxel_m).astype(np.int64) + (1 << 20)
    np.clip(cell, 0, (1 << 21) - 1, out=cell)  # a kilometre at voxels of a millimetre
    _, first = np.unique(cell[:, 0] << 42 | cell[:, 1] << 21 | cell[:, 2], return_index=True)
    return np.sort(first)
