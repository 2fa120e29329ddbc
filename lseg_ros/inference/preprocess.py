"""Image -> network input: resized, normalized, padded, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["network_size", "preprocess"]

SMALLEST_PX = 32


def network_size(image_size: tuple[int, int], input_size: int) -> tuple[int, int]:
    """(H, W) of an image -> (h, w) of its picture in the network's input, of the same aspect.

    input_size: the longer side in pixels; 0 keeps the image's own size. Raises ValueError where a side is too short.
    """
    if min(image_size) < SMALLEST_PX:
        raise ValueError(
            f"image: expected at least {SMALLEST_PX}x{SMALLEST_PX} pixels, got {image_size[1]}x{image_size[0]}"
        )
    scale = input_size / max(image_size) if input_size else 1.0
    height, width = (max(round(side * scale), 1) for side in image_size)
    return height, width


def preprocess(
    image: NDArray[np.uint8],
    input_size: int,
    stride: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str = "cpu",
) -> tuple[Tensor, tuple[int, int]]:
    """(H, W, 3) uint8 RGB -> (1, 3, h', w') float32, and the (h, w) of it that the image fills, from the upper left.

    h' and w' are h and w padded to multiples of ``stride`` with the mean color (0 after normalizing). mean, std: per
    channel, of values from 0 to 1.
    """
    height, width = network_size(image.shape[:2], input_size)
    if (height, width) != image.shape[:2]:  # here and not on the device: less to carry over, and the same everywhere
        shrinks = height < image.shape[0]
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
        )
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(device)  # (h, w, 3)
    pixels = pixels.permute(2, 0, 1)[None].to(torch.float32).div_(255)  # (1, 3, h, w)
    pixels.sub_(torch.tensor(mean, device=device)[:, None, None]).div_(torch.tensor(std, device=device)[:, None, None])
    padding = (0, -width % stride, 0, -height % stride)  # right and bottom
    return torch.nn.functional.pad(pixels, padding), (height, width)
