"""The official evaluation protocol: scores over scales, flip and overlapping windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CITYSCAPES", "OFFICIAL", "OfficialProtocol", "official_scores"]


@dataclass(frozen=True)
class OfficialProtocol:
    """Parameters of the official protocol.

    Attributes:
        base_px: Longer side of the image at scale 1.
        crop_px: Side of the square window that the network processes.
        scales: Factors of ``base_px``.
        flip: Whether each window is also processed mirrored.
    """

    base_px: int = 520
    crop_px: int = 480
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    flip: bool = True

    def __post_init__(self) -> None:
        if self.base_px < 1 or self.crop_px < 2:
            raise ValueError(
                f"protocol: expected base >= 1 and crop >= 2 px, got base {self.base_px}, crop {self.crop_px}"
            )
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales: expected at least one, all above 0, got {self.scales}")

    @property
    def stride_px(self) -> int:
        """Distance between two windows."""
        return int(self.crop_px * 2 / 3)


OFFICIAL = OfficialProtocol()
CITYSCAPES = OfficialProtocol(2048, 768, (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25))


@torch.inference_mode()
def official_scores(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    protocol: OfficialProtocol = OFFICIAL,
    padding: Sequence[float] = (-1.0, -1.0, -1.0),
) -> Tensor:
    """Compute the class scores of an image as the authors' evaluator does.

    This follows lang-seg, additional_utils/models.py: the logits of the mirrored window and of the scales are summed,
    not averaged, and the last window of a row or column is padded, not moved back into the image.

    Args:
        network: Maps a window (1, 3, crop, crop) to logits (1, K, crop, crop).
        image: (1, 3, H, W) float32, normalized RGB.
        protocol: Scales, window size and flip.
        padding: Normalized value of each channel outside the image, that of black: -mean / std.

    Returns:
        (1, K, H, W) float32 scores; their argmax is the predicted class.

    Raises:
        ValueError: If the image is not (1, 3, H, W).
    """
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(f"image: expected (1, 3, H, W), got {tuple(image.shape)}")
    height, width = image.shape[2:]
    black = torch.tensor(padding, dtype=image.dtype, device=image.device)[:, None, None]
    network_with_flip = _sum_with_flip(network) if protocol.flip else network
    scores: Tensor | None = None
    for scale in protocol.scales:
        resized = _resize(image, _scaled_size(height, width, math.ceil(protocol.base_px * scale)))
        logits = _average_windows(network_with_flip, resized, black, protocol)  # (1, K, h, w)
        at_scale = _resize(logits, (height, width))  # (1, K, H, W)
        scores = at_scale if scores is None else scores.add_(at_scale)
    assert scores is not None  # a protocol has at least one scale
    return scores


def _scaled_size(height: int, width: int, longer_px: int) -> tuple[int, int]:
    """Return (h, w) with a longer side of ``longer_px``; the other side is rounded half up."""
    if height > width:
        return longer_px, int(width * longer_px / height + 0.5)
    return int(height * longer_px / width + 0.5), longer_px


def _sum_with_flip(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda window: network(window) + network(window.flip(-1)).flip(-1)


def _average_windows(
    network: Callable[[Tensor], Tensor], image: Tensor, black: Tensor, protocol: OfficialProtocol
) -> Tensor:
    """Average the logits of overlapping windows: (1, 3, h, w) -> (1, K, h, w)."""
    height, width = image.shape[2:]
    crop = protocol.crop_px
    if max(height, width) <= crop:
        return network(_pad_to_crop(image, crop, black))[..., :height, :width]
    padded = _pad_to_crop(image, crop, black)
    total: Tensor | None = None
    windows = padded.new_zeros(padded.shape[2:])  # number of windows that cover each pixel
    for top in _window_starts(padded.shape[2], protocol):
        for left in _window_starts(padded.shape[3], protocol):
            area = (..., slice(top, top + crop), slice(left, left + crop))  # smaller at the lower and right border
            window = padded[area]
            logits = network(_pad_to_crop(window, crop, black))[..., : window.shape[2], : window.shape[3]]
            if total is None:
                total = logits.new_zeros((1, logits.shape[1], *padded.shape[2:]))
            total[area] += logits
            windows[area] += 1
    assert total is not None  # there is at least one window
    return total.div_(windows)[..., :height, :width]


def _window_starts(size: int, protocol: OfficialProtocol) -> range:
    """Return the first row (or column) of each window."""
    count = math.ceil((size - protocol.crop_px) / protocol.stride_px) + 1
    return range(0, count * protocol.stride_px, protocol.stride_px)


def _pad_to_crop(image: Tensor, crop_px: int, black: Tensor) -> Tensor:
    """Pad an image (1, 3, h, w) at the bottom and right to at least the crop size."""
    height, width = image.shape[2:]
    if height >= crop_px and width >= crop_px:
        return image
    padded = black.expand(1, -1, max(height, crop_px), max(width, crop_px)).clone()
    padded[..., :height, :width] = image
    return padded


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)
