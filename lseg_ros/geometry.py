"""Depth to points: the organized labeled cloud, one cloud per label, voxel downsampling.

Points are in meters in the camera's optical frame (REP 103): x right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE, Frame, Intrinsics, LabelCloud, Segmentation, to_xyz
from lseg_ros.vocabulary import Label

__all__ = [
    "label_clouds",
    "organized_cloud",
    "pack_rgb",
    "project",
    "register_depth",
    "sample_depth",
    "unpack_rgb",
    "unproject",
    "voxel_downsample",
]

# The first 16 bytes of a point of the organized cloud are a point of a label cloud.
_CLOUD_POINT_VIEW = np.dtype({"names": ["cloud_point"], "formats": [CLOUD_DTYPE], "itemsize": POINT_DTYPE.itemsize})


def sample_depth(depth_m: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample depth to an image size of the same aspect ratio.

    Every pixel gets the nearest depth sample. Samples are never interpolated, because the mean of two surfaces lies
    on neither.

    Args:
        depth_m: (rows, columns) float32 depth.
        size: (H, W) of the image.

    Returns:
        (H, W) float32 depth; ``depth_m`` itself if the size is the same.

    Raises:
        ValueError: The aspect ratios differ by more than the rounding of one pixel.
    """
    (rows, columns), (height, width) = depth_m.shape, size
    if (rows, columns) == (height, width):
        return depth_m
    if abs(columns * height - width * rows) >= max(columns, rows, width, height):
        raise ValueError(f"depth: expected the aspect ratio of the {width}x{height} image, got {columns}x{rows}")
    row = (2 * np.arange(height) + 1) * rows // (2 * height)  # the sample whose area contains the pixel's center
    column = (2 * np.arange(width) + 1) * columns // (2 * width)
    return depth_m[row[:, None], column]


def register_depth(
    depth_m: NDArray[np.float32], depth_camera: Intrinsics, to_image: NDArray[np.float64], camera: Intrinsics
) -> NDArray[np.float32]:
    """Move the depth image of one camera into the view of another one.

    Each sample goes to the pixel that it projects to; the nearest of several wins. If the image has a finer resolution,
    samples first go to an image of about the resolution of the depth. A gap of one pixel between two samples, which
    remains where the view is stretched, gets the farther of its neighbors. Samples are never interpolated.

    Args:
        depth_m: (h, w) float32 depth along z of the depth camera, NaN where unknown.
        depth_camera: Intrinsics of the depth image.
        to_image: (4, 4) float64, maps points of the depth camera to the camera of the image.
        camera: Intrinsics of the image.

    Returns:
        (H, W) float32 depth along z of the camera of the image, NaN where unknown.

    Raises:
        ValueError: The intrinsics do not belong to the depth.
    """
    if depth_m.shape != (depth_camera.height, depth_camera.width):
        raise ValueError(
            f"depth/camera_info: expected that of a {depth_m.shape[1]}x{depth_m.shape[0]} image, "
            f"got {depth_camera.width}x{depth_camera.height}"
        )
    scale = min(1.0, depth_camera.fx / camera.fx, depth_camera.fy / camera.fy)
    width, height = max(round(camera.width * scale), 1), max(round(camera.height * scale), 1)
    across, down = width / camera.width, height / camera.height
    points = unproject(depth_m, depth_camera).reshape(-1, 3)
    points = points[np.isfinite(points[:, 2])] @ to_image[:3, :3].T.astype(np.float32) + to_image[:3, 3].astype("f4")
    x, y, z = points[points[:, 2] > 0].T
    # Pixel centers are integers, so the corner of the image is at -0.5 in both resolutions.
    column = np.rint((camera.fx * x / z + camera.cx + 0.5) * across - 0.5)
    row = np.rint((camera.fy * y / z + camera.cy + 0.5) * down - 0.5)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = np.full((height, width), np.inf, np.float32)
    pixel = row[inside].astype(np.intp) * width + column[inside].astype(np.intp)
    np.minimum.at(nearest.reshape(-1), pixel, z[inside])
    _fill_gaps(nearest)
    nearest[np.isinf(nearest)] = np.nan
    row_of = (2 * np.arange(camera.height) + 1) * height // (2 * camera.height)
    column_of = (2 * np.arange(camera.width) + 1) * width // (2 * camera.width)
    return nearest if scale == 1.0 else nearest[row_of[:, None], column_of]


def _fill_gaps(depth_m: NDArray[np.float32]) -> None:
    """Fill single pixels without depth (inf) that have depth on opposite sides, in place."""
    for image in (depth_m, depth_m.T):
        before, after = image[:, :-2], image[:, 2:]
        gap = np.isinf(image[:, 1:-1]) & np.isfinite(before) & np.isfinite(after)
        image[:, 1:-1][gap] = np.maximum(before, after)[gap]


def unproject(
    depth_m: NDArray[np.float32],
    camera: Intrinsics,
    nearest_m: float = 0.0,
    farthest_m: float = np.inf,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Convert depth to points.

    Args:
        depth_m: (H, W) float32 depth along z.
        camera: Intrinsics of the depth image.
        nearest_m: Smallest valid depth.
        farthest_m: Largest valid depth.
        out: Array for the result; None allocates one.

    Returns:
        (H, W, 3) float32 points, NaN in all coordinates where depth is unknown or out of range.
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
    """Project points onto the image: the inverse of ``unproject``.

    Args:
        xyz: (..., 3) points in front of the camera.
        camera: Intrinsics of the image.

    Returns:
        (..., 2) float64 pixels as column and row.
    """
    x, y, z = (xyz[..., axis].astype(np.float64) for axis in range(3))
    return np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=-1)


def pack_rgb(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pack colors into floats, as PointCloud2 stores them.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W) float32 with the bit pattern 0x00RRGGBB. The alpha byte is 0, because others could make it a NaN.
    """
    if not image.size:
        return np.empty(image.shape[:2], np.float32)
    packed = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGRA)).view("<u4")[..., 0]
    packed &= 0x00FFFFFF
    return packed.view("<f4")


def unpack_rgb(packed: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colors (N, 3) uint8 RGB of packed ones, (N,) float32."""
    return np.ascontiguousarray(packed, "<f4").view(np.uint8).reshape(-1, 4)[:, 2::-1]


def organized_cloud(
    frame: Frame, segmentation: Segmentation, nearest_m: float = 0.0, farthest_m: float = np.inf
) -> NDArray[np.void]:
    """Build the organized cloud of a frame: one point per pixel.

    Pixels without a valid depth have NaN in x, y and z, but keep color, label and confidence, so that the cloud
    contains the whole mask.

    Args:
        frame: A frame with depth and intrinsics.
        segmentation: Segmentation of the frame.
        nearest_m: Smallest valid depth.
        farthest_m: Largest valid depth.

    Returns:
        (H, W) of POINT_DTYPE. Confidence is from 0 to 1.

    Raises:
        ValueError: The frame has no depth or no intrinsics.
    """
    if frame.depth_m is None or frame.intrinsics is None:
        raise ValueError("points: expected a frame with depth and intrinsics")
    points = np.empty(frame.size, POINT_DTYPE)  # the memory layout of the message, filled in place
    unproject(frame.depth_m, frame.intrinsics, nearest_m, farthest_m, out=to_xyz(points))
    points["rgb"] = pack_rgb(frame.image)
    points["label"] = segmentation.label_map
    np.multiply(segmentation.confidence, np.float32(1 / 255), out=points["confidence"])
    return points


def label_clouds(
    points: NDArray[np.void], label_map: NDArray[np.uint8], labels: Sequence[Label], voxel_m: float = 0.0
) -> tuple[LabelCloud, ...]:
    """Split an organized cloud into one cloud per label.

    Args:
        points: (H, W) organized cloud, or (N,) points.
        label_map: uint8 ids of the same shape.
        labels: Labels that get a cloud.
        voxel_m: Edge length of the cubes of ``voxel_downsample``; 0 keeps every point.

    Returns:
        A cloud for each of ``labels``, in their order, empty if the label is not in view. Points keep the row order
        of the image.
    """
    labeled = (label_map * np.isfinite(points["z"])).reshape(-1)  # 0 for pixels without a point
    order = np.argsort(labeled, kind="stable")  # a radix sort for uint8, faster than a mask per label
    ends = np.searchsorted(labeled[order], np.arange(256, dtype=np.uint8), side="right")
    flat = points.view(_CLOUD_POINT_VIEW)["cloud_point"].reshape(-1)
    clouds = []
    for label in labels:
        label_points = flat[order[ends[label.id - 1] : ends[label.id]]]
        if voxel_m > 0:
            label_points = label_points[voxel_downsample(to_xyz(label_points), voxel_m)]
        clouds.append(LabelCloud(label, label_points))
    return tuple(clouds)


def voxel_downsample(xyz: NDArray[np.float32], voxel_m: float) -> NDArray[np.intp]:
    """Select the first point in every cube of a grid.

    The result contains measured points with their own colors. The mean of the points in a cube could lie between two
    surfaces.

    Args:
        xyz: (N, 3) points.
        voxel_m: Edge length of the cubes.

    Returns:
        Indices of the selected points, ascending.
    """
    cell = np.floor(xyz / voxel_m).astype(np.int64) + (1 << 20)
    np.clip(cell, 0, (1 << 21) - 1, out=cell)  # 1 km in each direction with voxels of 1 mm
    _, first = np.unique(cell[:, 0] << 42 | cell[:, 1] << 21 | cell[:, 2], return_index=True)
    return np.sort(first)
