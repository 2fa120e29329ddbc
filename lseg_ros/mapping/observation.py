"""What one frame contributes to the map: points with embeddings, and free space."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lseg_ros.geometry import project
from lseg_ros.inference import PixelEmbeddings
from lseg_ros.mapping.kernels import gather_rows
from lseg_ros.mapping.poses import Pose, check_pose
from lseg_ros.structures import Frame
from lseg_ros.transforms import transform_points

__all__ = ["Observation", "View", "observe"]

_RELIABLE_M = 1.0  # up to this distance, depth counts fully
_WINDOW = np.ones((5, 5), np.uint8)  # samples around a voxel, all of which must see through it


@dataclass(frozen=True, eq=False)
class View:
    """Depth of a frame at the samples, to check which voxels the camera sees through.

    Attributes:
        pose: (4, 4) float64, maps points of the camera to the map.
        nearest_m: (h, w) float32 smallest depth around each sample, 0 where it is unknown.
        matrix: (fx, fy, cx, cy) of the camera in samples.
    """

    pose: Pose
    nearest_m: NDArray[np.float32]
    matrix: tuple[float, float, float, float]

    def seen_through(self, points: NDArray[np.float32], margin_m: float) -> NDArray[np.bool_]:
        """Return for points (N, 3) in the map whether the camera measured something behind them.

        Args:
            points: (N, 3) float32 meters.
            margin_m: How far behind it must be; 2 % of the distance come on top.
        """
        rotation, (fx, fy, cx, cy) = self.pose[:3, :3].astype(np.float32), self.matrix
        camera = (points - self.pose[:3, 3].astype(np.float32)) @ rotation
        z = camera[:, 2]
        ahead = np.flatnonzero(z > margin_m)
        x, y, z = camera[ahead].T
        height, width = self.nearest_m.shape
        column, row = np.rint(fx * x / z + cx), np.rint(fy * y / z + cy)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        ahead, z = ahead[inside], z[inside]
        depth_m = self.nearest_m[row[inside].astype(np.intp), column[inside].astype(np.intp)]
        result = np.zeros(len(points), np.bool_)
        result[ahead] = depth_m > 1.02 * z + margin_m
        return result


@dataclass(frozen=True, eq=False)
class Observation:
    """The contribution of one frame.

    Attributes:
        stamp_ns: Stamp of the frame in nanoseconds.
        points: (N, 3) float32 meters in the map, one for each sample with depth.
        weights: (N,) float32 weight of each point, 0 to 1.
        colors: (N, 3) uint8 RGB.
        columns: (N,) int32 row of ``rows`` for each point.
        rows: (M, C) float32 embeddings, 0 if one is not finite.
        factors: (M,) float32 that makes each row a unit vector, 0 if it is not finite.
        view: Depth of the frame.
    """

    stamp_ns: int
    points: NDArray[np.float32]
    weights: NDArray[np.float32]
    colors: NDArray[np.uint8]
    columns: NDArray[np.int32]
    rows: NDArray[np.float32]
    factors: NDArray[np.float32]
    view: View


def observe(
    frame: Frame,
    embeddings: PixelEmbeddings,
    pose: Pose,
    confidence: NDArray[np.uint8] | None = None,
    range_m: float = np.inf,
) -> Observation:
    """Sample a frame: one point for each pixel of the upsampled embeddings.

    Depth is that of the depth image, or else of the nearest lidar point in the area of the sample.

    The embedding of a point is that of the nearest output of the network. Its weight falls with the square of the
    distance, as the precision of depth cameras does, and is proportional to the confidence.

    Args:
        frame: The frame, with intrinsics and with depth or a cloud.
        embeddings: Its pixel embeddings, on any device.
        pose: (4, 4) float64, maps points of the camera's optical frame to the map.
        confidence: (H, W) uint8 confidence of the labels x 255, or None for equal confidence.
        range_m: Points with a larger depth are not used.

    Raises:
        ValueError: The frame has no intrinsics, neither depth nor a cloud, or the pose is not a rigid transform.
    """
    if (frame.depth_m is None and frame.cloud is None) or frame.intrinsics is None:
        raise ValueError("map: expected a frame with intrinsics and with depth or the points of a lidar")
    check_pose(pose)
    height, width = (max(length // 2, 1) for length in embeddings.valid_size)
    row, column = _centers(height, frame.size[0]), _centers(width, frame.size[1])
    pixels = np.ix_(row, column)
    if frame.depth_m is not None:
        depth_m = np.nan_to_num(frame.depth_m[pixels], nan=0.0, posinf=0.0, neginf=0.0)
    else:
        depth_m = _depth_of_cloud(frame, height, width)
    used = np.flatnonzero((depth_m > 0) & (depth_m <= range_m))
    z = depth_m.reshape(-1)[used]
    camera = frame.intrinsics
    right, down = (column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy
    sample_row, sample_column = np.divmod(used, width)
    points = np.stack([right.astype(np.float32)[sample_column] * z, down.astype(np.float32)[sample_row] * z, z], axis=1)
    points = points @ pose[:3, :3].T.astype(np.float32) + pose[:3, 3].astype(np.float32)
    weights = np.minimum(_RELIABLE_M / z, 1) ** 2
    if confidence is not None:
        weights *= confidence[pixels].reshape(-1)[used] * np.float32(1 / 255)
    cells, columns = _unique(sample_row // 2 * embeddings.low_res.shape[3] + sample_column // 2)
    rows, factors = _gather(embeddings.low_res, cells)
    step_x, step_y = frame.size[1] / width, frame.size[0] / height
    matrix = (camera.fx / step_x, camera.fy / step_y, (camera.cx - column[0]) / step_x, (camera.cy - row[0]) / step_y)
    return Observation(
        stamp_ns=frame.stamp_ns,
        points=points,
        weights=weights.astype(np.float32),
        colors=frame.image[pixels].reshape(-1, 3)[used],
        columns=columns,
        rows=rows,
        factors=factors,
        view=View(pose, np.asarray(cv2.erode(depth_m, _WINDOW), np.float32), matrix),
    )


def _depth_of_cloud(frame: Frame, height: int, width: int) -> NDArray[np.float32]:
    """Return the depth (height, width) of the lidar points, 0 for samples without any."""
    assert frame.cloud is not None and frame.intrinsics is not None  # checked by the caller
    xyz = frame.cloud.xyz[np.isfinite(frame.cloud.xyz).all(axis=1)]
    xyz = transform_points(frame.cloud.to_camera, xyz)
    xyz = xyz[xyz[:, 2] > 0]
    column, row = np.floor((project(xyz, frame.intrinsics) + 0.5) * (width / frame.size[1], height / frame.size[0])).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    depth_m = np.full(height * width, np.inf, np.float32)
    sample = (row[inside] * width + column[inside]).astype(np.intp)
    np.minimum.at(depth_m, sample, xyz[inside, 2])
    return np.where(np.isinf(depth_m), np.float32(0), depth_m).reshape(height, width)


def _centers(count: int, length: int) -> NDArray[np.int64]:
    """Return the pixels (count,) at the centers of equal parts of a side."""
    return ((2 * np.arange(count) + 1) * length) // (2 * count)


def _unique(cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the different cells (M,), ascending, and the index (N,) of each cell among them."""
    position = np.zeros(int(cells.max(initial=-1)) + 1, np.int32)
    position[cells] = 1
    different = np.flatnonzero(position)
    position[different] = np.arange(len(different), dtype=np.int32)
    return different, position[cells]


def _gather(low_res: torch.Tensor, cells: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the embeddings (M, C) of cells, and the factors (M,) that make them unit vectors.

    Only these leave the device, in the precision of the encoder. On a CPU, PyTorch computes nothing here: its threads
    in another than the worker's thread would slow down the network.
    """
    channels = low_res[0].flatten(1)  # (C, h * w)
    if channels.device.type != "cpu":
        channels = channels[:, torch.from_numpy(cells).to(channels.device)].cpu()
        cells = np.arange(len(cells))
    return gather_rows(_to_float32(channels), cells)


def _to_float32(values: torch.Tensor) -> NDArray[np.float32]:
    if values.dtype == torch.bfloat16:  # the upper half of a float32; NumPy has no such type
        bits = values.view(torch.int16).numpy().astype(np.uint32)
        return (bits << 16).view(np.float32)
    return np.asarray(values.numpy(), np.float32)
