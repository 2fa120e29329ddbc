"""Frames of simple scenes, with embeddings that say what is where."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lseg_ros.inference import PixelEmbeddings
from lseg_ros.mapping import Observation, observe
from lseg_ros.structures import Frame, Intrinsics

__all__ = ["CHANNELS", "FAR_M", "embed_pixels", "look", "unit", "wall_frame"]

CHANNELS = 8
SIZE = (96, 128)  # (H, W)
FAR_M = 3.0
_CAMERA = Intrinsics(100.0, 100.0, 63.5, 47.5, SIZE[1], SIZE[0])


def unit(channel: int) -> NDArray[np.float32]:
    """The embedding (C,) of the meaning with this number."""
    return np.eye(CHANNELS, dtype=np.float32)[channel]


def wall_frame(depth_m: float = FAR_M, stamp_s: float = 0.0) -> Frame:
    """A frame of a gray wall that fills the image."""
    image, depth = np.full((*SIZE, 3), 90, np.uint8), np.full(SIZE, depth_m, np.float32)
    return Frame(image, depth, _CAMERA, round(stamp_s * 1e9), "camera")


def embed_pixels(
    meanings: NDArray[np.int64], length: float = 3.0, dtype: torch.dtype = torch.float32
) -> PixelEmbeddings:
    """Embeddings of an image whose pixels (H, W) have these meanings."""
    low_res = np.eye(CHANNELS, dtype=np.float32)[meanings[2::4, 2::4]] * length  # (H/4, W/4, C)
    tensor = torch.from_numpy(low_res).permute(2, 0, 1)[None].to(dtype)
    norm = torch.full((1, 1, SIZE[0] // 2, SIZE[1] // 2), length)
    return PixelEmbeddings(tensor.contiguous(), norm, SIZE, SIZE)


def look(
    frame: Frame, meaning: int = 0, things: tuple[tuple[slice, slice, int, float], ...] = (), x_m: float = 0.0
) -> Observation:
    """Observe a frame in which some rectangles have another meaning and another depth.

    Args:
        frame: The frame.
        meaning: Meaning of all other pixels.
        things: Rows, columns, meaning and depth of each rectangle.
        x_m: Position of the camera along x of the map, whose axes are those of the camera.
    """
    assert frame.depth_m is not None
    meanings, depth_m = np.full(SIZE, meaning), frame.depth_m.copy()
    for rows, columns, other, other_m in things:
        meanings[rows, columns], depth_m[rows, columns] = other, other_m
    pose = np.eye(4)
    pose[0, 3] = x_m
    seen = Frame(frame.image, depth_m, frame.intrinsics, frame.stamp_ns, frame.frame_id)
    return observe(seen, embed_pixels(meanings), pose)
