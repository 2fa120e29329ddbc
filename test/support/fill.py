"""Deterministic weights for which figures of the official code are recorded."""

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
    """Make new tensors of the same shapes, with values that depend only on name and shape.

    Args:
        named_tensors: Official keys (without ``net.``) -> tensors, possibly on the meta device.

    Returns:
        Key -> tensor; floating point tensors are float32.
    """
    return {name: _fill_tensor(name, tensor) for name, tensor in named_tensors.items()}


def _fill_tensor(name: str, tensor: Tensor) -> Tensor:
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
        return _normalize_rows(noise)
    if name.endswith(".weight"):
        return 1 + 0.02 * noise
    return 0.02 * noise


def _normalize_rows(noise: Tensor) -> Tensor:
    """Scale rows to keep activations in range.

    Also remove the mean of rows that are long enough.
    """
    size = math.prod(noise.shape[1:])
    if size >= 16:
        noise = noise - noise.mean(dim=tuple(range(1, noise.ndim)), keepdim=True)
    return noise / math.sqrt(size)
