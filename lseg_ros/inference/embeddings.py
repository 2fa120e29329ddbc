"""Pixel embeddings: the output of the image encoder, independent of any label set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lseg_ros.model.decoder import upsample2x

__all__ = ["PixelEmbeddings", "upsampled_norm"]


@dataclass(frozen=True, eq=False)
class PixelEmbeddings:
    """The pixel embeddings of one image, at a quarter of the size of the network input.

    Attributes:
        low_res: (1, C, h'/4, w'/4) embeddings in the dtype of the encoder, not normalized.
        norm: (1, 1, h'/2, w'/2) float32 lengths of the embeddings after x2 upsampling.
        valid_size: (h, w) of the part of the network's input that shows the image; the rest is padding.
        size: (H, W) of the image.
    """

    low_res: Tensor
    norm: Tensor
    valid_size: tuple[int, int]
    size: tuple[int, int]

    @property
    def pixels(self) -> Tensor:
        """The embeddings as ``LSeg.encode_image`` returns them, computed at every access.

        (1, C, h'/2, w'/2) float32 of unit norm.
        """
        return upsample2x(self.low_res.float()).div_(self.norm)


def upsampled_norm(x: Tensor) -> Tensor:
    """Compute ``upsample2x(x).norm(dim=1, keepdim=True)`` without upsampling all channels.

    An upsampled pixel is a weighted sum of four neighbors, so its squared length is a weighted sum of the dot products
    of these neighbors.

    Args:
        x: (B, C, h, w) embeddings.

    Returns:
        (B, 1, 2h, 2w) float32.
    """
    x = x.float()
    left, right = x[..., :-1], x[..., 1:]
    column, weight = _source_positions(x.shape[3], x.device)  # (2w,) each
    same_row = _interpolate_squares(_dot(x, x), column, weight, 2 * _dot(left, right))  # (B, h, 2w)
    up, down = slice(None, -1), slice(1, None)
    diagonal = _dot(left[:, :, up], right[:, :, down]) + _dot(right[:, :, up], left[:, :, down])  # (B, h - 1, w - 1)
    next_row = _interpolate_squares(_dot(x[:, :, up], x[:, :, down]), column, weight, diagonal)  # (B, h - 1, 2w)
    row, weight = _source_positions(x.shape[2], x.device)  # (2h,) each
    squared = _interpolate_squares(same_row.mT, row, weight, 2 * next_row.mT).mT  # (B, 2h, 2w)
    return squared.clamp_(min=0).sqrt_()[:, None]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(B, C, h, w) twice -> (B, h, w)."""
    return (a * b).sum(dim=1)


def _interpolate_squares(squares: Tensor, index: Tensor, weight: Tensor, products: Tensor) -> Tensor:
    """Interpolate squared lengths along the last axis.

    Args:
        squares: (..., n) squared length of each point.
        index: (2n,) source point before each upsampled point.
        weight: (2n,) weight of the source point after it.
        products: (..., n - 1) twice the dot product of each point and the next.
    """
    rest = 1 - weight
    return rest**2 * squares[..., index] + weight**2 * squares[..., index + 1] + rest * weight * products[..., index]


def _source_positions(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Locate the 2n points of ``upsample2x`` among the n source points.

    Returns:
        For each point, the index of the source point before it (at most n - 2) and the weight of the one after it.
    """
    position = torch.arange(2 * count, device=device) * ((count - 1) / (2 * count - 1))
    before = position.long().clamp_(max=count - 2)
    return before, position - before
