"""Weights by rule: with them the official code and ours must compute the same figures."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["fill"]

_EMBEDDINGS = ("pos_embed", "cls_token", "positional_embedding", "class_embedding")
_TRANSPOSED = ("act_postprocess1.4.weight", "act_postprocess2.4.weight")


def fill(named_tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names (checkpoint keys without ``net.``) -> new tensors of the same shapes; also for meta tensors.

    The values depend on name and shape only. Floats come as float32.
    """
    return {name: _filled(name, tensor) for name, tensor in named_tensors.items()}


def _filled(name: str, tensor: Tensor) -> Tensor:
    shape = tensor.shape
    if not tensor.is_floating_point():
        return torch.zeros(shape, dtype=tensor.dtype)
    if name.endswith("logit_scale"):
        return torch.full(shape, math.log(1 / 0.07))
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return 1 + 0.1 * torch.rand(shape, generator=generator)
    noise = torch.randn(shape, generator=generator)
    if name.endswith("token_embedding.weight"):
        return noise
    if name.endswith(_EMBEDDINGS):
        return 0.2 * noise
    if name.endswith(_TRANSPOSED):
        return noise / math.sqrt(shape[0])
    if len(shape) >= 2:
        return _row_wise(noise)
    if name.endswith(".weight"):
        return 1 + 0.02 * noise
    return 0.02 * noise


def _row_wise(noise: Tensor) -> Tensor:
    """Rows of zero mean, where they are long enough, and a variance that keeps activations in range."""
    size = math.prod(noise.shape[1:])
    if size >= 16:
        noise = noise - noise.mean(dim=tuple(range(1, noise.ndim)), keepdim=True)
    return noise / math.sqrt(size)
