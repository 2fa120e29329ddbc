"""What the network makes of one image, before it hears any word."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lseg_ros.model.decoder import upsample2x

__all__ = ["PixelEmbeddings", "upsampled_norm"]


@dataclass(frozen=True, eq=False)
class PixelEmbeddings:
    """The embeddings of one image's pixels, at a quarter of the network's input.

    low_res: (1, C, h'/4, w'/4), not normalized. norm: (1, 1, h'/2, w'/2) float32, their length once they are doubled.
    valid_size: the (h, w) of the network's input that the image fills. size: (H, W) of the image.
    """

    low_res: Tensor
    norm: Tensor
    valid_size: tuple[int, int]
    size: tuple[int, int]

    @property
    def pixels(self) -> Tensor:
        """(1, C, h'/2, w'/2) float32 of unit norm, as the network defines them; made anew for everyone who asks."""
        return upsample2x(self.low_res.float()).div_(self.norm)


def upsampled_norm(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 1, 2h, 2w) float32: ``upsample2x(x).norm(dim=1, keepdim=True)``, without doubling C channels.

    A doubled pixel is a weighted sum of four neighbors, so the square of its length is one of their products.
    """
    x = x.float()
    left, right = x[..., :-1], x[..., 1:]
    column, share = _places(x.shape[3], x.device)  # (2w,) each
    own = _mixed(_dot(x, x), column, share, 2 * _dot(left, right))  # (B, h, 2w): of each row with itself
    up, down = slice(None, -1), slice(1, None)
    crossed = _dot(left[:, :, up], right[:, :, down]) + _dot(right[:, :, up], left[:, :, down])  # (B, h - 1, w - 1)
    below = _mixed(_dot(x[:, :, up], x[:, :, down]), column, share, crossed)  # (B, h - 1, 2w): with the next row
    row, share = _places(x.shape[2], x.device)
    squared = _mixed(own.mT, row, share, 2 * below.mT).mT  # (B, 2h, 2w)
    return squared.clamp_(min=0).sqrt_()[:, None]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(B, C, h, w) twice -> (B, h, w)."""
    return (a * b).sum(dim=1)


def _mixed(own: Tensor, place: Tensor, share: Tensor, crossed: Tensor) -> Tensor:
    """Squares (..., n) and what neighbors have in common, twice (..., n - 1) -> squares of what lies between them."""
    rest = 1 - share
    return rest**2 * own[..., place] + share**2 * own[..., place + 1] + rest * share * crossed[..., place]


def _places(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where ``upsample2x`` puts 2 n points among n: the one before, at most n - 2, and the share of the next."""
    place = torch.arange(2 * count, device=device) * ((count - 1) / (2 * count - 1))
    before = place.long().clamp_(max=count - 2)
    return before, place - before
