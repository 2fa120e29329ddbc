"""Training on a CPU: the form of each operation that is fast there."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["prepare_for_cpu"]


def prepare_for_cpu(model: nn.Module) -> None:
    """Choose forms of attention and convolution that train fast on a CPU.

    Attention becomes two products and a softmax: with few tokens, the fused kernel is slower. Depthwise convolutions
    stay in float32 under autocast: with a stride of 2 or a width of 5, oneDNN has no fast gradients in bfloat16.

    Args:
        model: The network, which is changed in place.
    """
    for module in model.modules():
        if hasattr(module, "fused_attn"):  # an attribute of timm's attention
            module.fused_attn = False  # type: ignore[assignment]
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = functools.partial(_in_float32, module.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())
