"""Preprocessing: image to network input, resized, normalized and padded, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["network_size", "preprocess"]

MIN_SIDE_PX = 32


def network_size(image_size: tuple[int, int], input_size: int) -> tuple[int, int]:
    """Compute the size of an image in the network's input, of the same aspect ratio.

    Args:
        image_size: (H, W) of the image.
        input_size: Longer side in pixels; 0 keeps the size of the image.

    Returns:
        (h, w) in pixels.

    Raises:
        ValueError: If a side of the image is shorter than 32 pixels.
    """
    if min(image_size) < MIN_SIDE_PX:
        raise ValueError(
            f"image: expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX} pixels, got {image_size[1]}x{image_size[0]}"
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
    *,
    resize_on_device: bool = False,
) -> tuple[Tensor, tuple[int, int]]:
    """Resize, normalize and pad an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        input_size: Longer side in pixels after resizing; 0 keeps the size of the image.
        stride: Height and width are padded to multiples of this, on the right and at the bottom, with the mean color.
        mean: Mean of each channel, for values from 0 to 1.
        std: Standard deviation of each channel, for values from 0 to 1.
        device: Device of the result.
        resize_on_device: Copy the image through pinned memory and resize it on the device, up to rounding like on the
            host. The copy to a GPU may not be done when this returns.

    Returns:
        (1, 3, h', w') float32, and the (h, w) of its upper left part that shows the image.

    Raises:
        ValueError: If a side of the image is shorter than 32 pixels.
    """
    height, width = network_size(image.shape[:2], input_size)
    if not resize_on_device:
        image = _resize(image, (height, width))
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))  # (H, W, 3)
    if resize_on_device and torch.device(device).type == "cuda":
        pixels = pixels.pin_memory()
    pixels = pixels.to(device, non_blocking=resize_on_device).permute(2, 0, 1).to(torch.float32)  # (3, H, W)
    pixels = _resize_on_device(pixels, (height, width))[None].div_(255)  # (1, 3, h, w)
    mean_std = _channel_constants(tuple(mean), tuple(std), torch.device(device))  # (2, 3, 1, 1)
    pixels.sub_(mean_std[0]).div_(mean_std[1])
    padding = (0, -width % stride, 0, -height % stride)  # right and bottom
    return torch.nn.functional.pad(pixels, padding), (height, width)


def _resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if size == image.shape[:2]:
        return image
    shrinks = size[0] < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=interpolation), np.uint8)


def _resize_on_device(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize like ``_resize``.

    Args:
        pixels: (3, H, W) float32 from 0 to 255.
        size: (h, w).

    Returns:
        (3, h, w) float32 integers.
    """
    old = (pixels.shape[1], pixels.shape[2])
    if size == old:
        return pixels
    rows, columns = (_resize_weights(*sides, size[0] < old[0], pixels.device) for sides in zip(old, size))
    return (rows @ pixels @ columns.mT).round_().clamp_(0, 255)


@lru_cache(maxsize=16)  # the same for every frame of a camera, so a GPU receives them once
def _resize_weights(old: int, new: int, shrinks: bool, device: torch.device) -> Tensor:
    """Compute the (new, old) weights of OpenCV's INTER_AREA or INTER_LINEAR on an axis."""
    source, result, scale = np.arange(old), np.arange(new)[:, None], old / new
    if shrinks:
        # INTER_AREA: the overlap of the pixels
        overlap = np.minimum((result + 1) * scale, source + 1) - np.maximum(result * scale, source)
        weights = overlap.clip(min=0) / scale
    else:
        position = ((result + 0.5) * scale - 0.5).clip(0, old - 1)
        weights = (1 - np.abs(position - source)).clip(min=0)
    return torch.from_numpy(weights.astype(np.float32)).to(device)


@lru_cache(maxsize=8)  # so a GPU receives them once
def _channel_constants(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Tensor:
    """Return mean and standard deviation as (2, 3, 1, 1) on the device."""
    return torch.tensor([mean, std], device=device)[..., None, None]
