"""Depth -> points: the organized labeled cloud, a cloud per label, voxel thinning.

Points are in meters in the camera's optical frame (REP 103): x right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Frame, Intrinsics, LabelCloud, Segmentation, to_xyz
from lseg_ros.vocabulary import Label

__all__ = ["label_clouds", "organized_cloud", "pack_rgb", "project", "sample_depth", "unproject", "voxel_downsample"]

# A point of the organized cloud is one of a label's cloud and eight bytes more.
_BEGIN_OF_POINT = np.dtype({"names": ["begin"], "formats": [CLOUD_DTYPE], "itemsize": POINT_DTYPE.itemsize})


def sample_depth(depth_m: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Depth at the pixels of an image of another size (H, W) and the same aspect: the nearest sample, never a mixture.

    Raises ValueError where the aspects differ by more than a pixel's rounding.
    """
    (rows, columns), (height, width) = depth_m.shape, size
    if (rows, columns) == (height, width):
        return depth_m
    if abs(columns * height - width * rows) >= max(columns, rows, width, height):
        raise ValueError(f"depth: expected the aspect of the {width}x{height} image, got {columns}x{rows}")
    row = (2 * np.arange(height) + 1) * rows // (2 * height)  # the sample whose area holds the pixel's center
    column = (2 * np.arange(width) + 1) * columns // (2 * width)
    return depth_m[row[:, None], column]


def unproject(
    depth_m: NDArray[np.float32],
    camera: Intrinsics,
    nearest_m: float = 0.0,
    farthest_m: float = np.inf,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Depth (H, W) -> points (H, W, 3) float32, NaN in all three where depth is unknown or out of range.

    out: where to write them, else they get memory of their own.
    """
    height, width = depth_m.shape
    z = depth_m
    if nearest_m > 0 or farthest_m < np.inf:
        z = np.where((z >= nearest_m) & (z <= farthest_m), z, np.float32(np.nan))
    points = np.empty((height, width, 3), np.float32) if out is None else out
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


def pack_rgb(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB -> (H, W) float32 with the bits 0x00RRGGBB (an alpha byte could make it a NaN)."""
    packed = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGRA)).view("<u4")[..., 0]
    packed &= 0x00FFFFFF
    return packed.view("<f4")


def organized_cloud(
    frame: Frame, segmentation: Segmentation, nearest_m: float = 0.0, farthest_m: float = np.inf
) -> NDArray[np.void]:
    """The organized cloud of a frame that has depth and intrinsics: (H, W) of POINT_DTYPE, one point per mask pixel.

    Confidence is from 0 to 1. Pixels without a point (NaN in x, y and z: see ``unproject``) keep color, label and
    confidence, so that the cloud says what the mask says. Raises ValueError without depth or intrinsics.
    """
    if frame.depth_m is None or frame.intrinsics is None:
        raise ValueError("points: expected a frame with depth and intrinsics")
    points = np.empty(frame.size, POINT_DTYPE)  # the message's own memory layout, written to once
    unproject(frame.depth_m, frame.intrinsics, nearest_m, farthest_m, out=to_xyz(points))
    points["rgb"] = pack_rgb(frame.image)
    points["label"] = segmentation.label_map
    np.multiply(segmentation.confidence, np.float32(1 / 255), out=points["confidence"])
    return points


def label_clouds(
    points: NDArray[np.void], label_map: NDArray[np.uint8], labels: Sequence[Label], voxel_m: float = 0.0
) -> tuple[LabelCloud, ...]:
    """An organized cloud (H, W) -> one cloud for each of ``labels``, in their order, empty where one is not in view.

    Points keep the row order of the image. label_map: of the same size. voxel_m: see ``voxel_downsample``; 0 keeps
    every point.
    """
    labeled = (label_map * np.isfinite(points["z"])).reshape(-1)  # 0 where there is no point
    order = np.argsort(labeled, kind="stable")  # a radix sort for uint8: quicker than a mask per label
    ends = np.searchsorted(labeled[order], np.arange(256, dtype=np.uint8), side="right")
    flat = points.view(_BEGIN_OF_POINT)["begin"].reshape(-1)
    clouds = []
    for label in labels:
        chosen = flat[order[ends[label.id - 1] : ends[label.id]]]
        if voxel_m > 0:
            chosen = chosen[voxel_downsample(to_xyz(chosen), voxel_m)]
        clouds.append(LabelCloud(label, chosen))
    return tuple(clouds)


def voxel_downsample(xyz: NDArray[np.float32], voxel_m: float) -> NDArray[np.intp]:
    """Indices, rising, of the first point in each cube of ``voxel_m`` of the optical frame.

    The first and not the mean: a point that was measured, with its own color, and not one between two surfaces.
    """
    cell = np.floor(xyz / voxel_m).astype(np.int64) + (1 << 20)
    np.clip(cell, 0, (1 << 21) - 1, out=cell)  # a kilometer at voxels of a millimeter
    _, first = np.unique(cell[:, 0] << 42 | cell[:, 1] << 21 | cell[:, 2], return_index=True)
    return np.sort(first)
