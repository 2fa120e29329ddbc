"""Depthwise convolutions and attention take the form that trains fast on a CPU."""

from __future__ import annotations

import copy
from typing import Any

import timm
import torch
from torch import Tensor, nn

from lseg_ros.training.cpu import prepare_for_cpu


class Separable(nn.Module):
    """A depthwise convolution, then a pointwise one."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 4, 5, stride=2, groups=4)
        self.pointwise = nn.Conv2d(4, 6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide: Tensor = self.depthwise(x)
        return wide, self.pointwise(wide)


def test_only_depthwise_convolutions_stay_in_float32() -> None:
    model = Separable()
    image = torch.rand(1, 4, 16, 16)
    expected = model.depthwise(image)
    prepare_for_cpu(model)
    with torch.autocast("cpu", torch.bfloat16):
        wide, result = model(image)
        assert torch.is_autocast_enabled("cpu")
    assert (wide.dtype, result.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(wide, expected)


def test_copies_have_weights_of_their_own() -> None:
    model = Separable()
    prepare_for_cpu(model)
    changed = copy.deepcopy(model)
    nn.init.zeros_(changed.depthwise.weight)
    image = torch.rand(1, 4, 16, 16)
    assert not torch.equal(changed(image)[0], model(image)[0])


def test_attention_does_not_use_the_fused_kernel() -> None:
    model: Any = timm.create_model("vit_tiny_patch16_224", depth=1)
    prepare_for_cpu(model)
    assert not model.blocks[0].attn.fused_attn
