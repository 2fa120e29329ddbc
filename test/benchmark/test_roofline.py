"""The arithmetic and memory traffic that the benchmark counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lseg_ros.benchmark.roofline import Roofline, Work, count_ops
from lseg_ros.model import PRESETS, LSeg, LSegConfig
from test.support.tiny_network import CONFIG


def count(layer: nn.Module, *shape: int) -> Work:
    with count_ops(layer) as counter, torch.no_grad():
        layer(torch.zeros(shape))
    return counter.work


def test_a_linear_layer_multiplies_each_row_with_its_weights() -> None:
    assert count(nn.Linear(3, 5), 2, 7, 3) == Work(2 * 14 * 3 * 5, 4 * (42 + 15 + 5 + 70))


def test_a_convolution_applies_its_filters_to_each_output_pixel() -> None:
    assert count(nn.Conv2d(3, 8, 3, padding=1, bias=False), 1, 3, 4, 6) == Work(2 * 24 * 27 * 8, 4 * (72 + 216 + 192))


def test_a_transposed_convolution_applies_its_filters_to_each_input_pixel() -> None:
    assert count(nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False), 1, 4, 3, 5).flop == 2 * 15 * 4 * 2 * 4


def test_half_precision_moves_half_the_bytes() -> None:
    layer = nn.Linear(4, 4).bfloat16()
    with count_ops(layer) as counter, torch.no_grad():
        layer(torch.zeros(1, 4, dtype=torch.bfloat16))
    assert counter.work.bytes == 2 * (4 + 16 + 4 + 4)


def test_attention_counts_four_projections_and_two_products_of_all_tokens() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True, bias=False)
    with count_ops(layer) as counter, torch.no_grad():
        x = torch.zeros(3, 5, 8)
        layer(x, x, x, need_weights=False)
    assert counter.work.flop == 3 * (2 * 5 * 8 * 8 * 4 + 2 * 2 * 5 * 5 * 8)


def test_norms_and_activations_are_free() -> None:
    assert count(nn.Sequential(nn.LayerNorm(4), nn.GELU()), 2, 4) == Work()


def test_a_module_passed_twice_counts_once_per_call() -> None:
    layer = nn.Linear(2, 2)
    with count_ops(nn.Sequential(layer), layer) as counter, torch.no_grad():
        layer(torch.zeros(1, 2))
    assert counter.work.flop == 8


def test_calls_after_the_context_do_not_count() -> None:
    layer = nn.Linear(2, 2)
    with count_ops(layer) as counter:
        pass
    layer(torch.zeros(1, 2))
    assert counter.work == Work()


@torch.no_grad()
@pytest.mark.parametrize("config", [CONFIG, PRESETS["demo"], PRESETS["vitl16"], PRESETS["zs_resnet101"]])
def test_counts_the_same_arithmetic_as_pytorch(config: LSegConfig) -> None:
    with torch.device("meta"):
        model = LSeg(config).eval()
    for block in getattr(getattr(model.backbone, "vit", None), "blocks", []):
        block.attn.fused_attn = False  # PyTorch's counter does not know every fused kernel
    image = torch.zeros(1, 3, 96, 160, device="meta")
    with count_ops(model) as counter, FlopCounterMode(display=False) as expected:
        model.encode_image(image)
    assert counter.work.flop == expected.get_total_flops()


def test_the_lower_bound_is_the_longer_of_arithmetic_and_traffic() -> None:
    roofline = Roofline.__new__(Roofline)  # without measuring
    roofline.bytes_per_s, roofline.flop_per_s = 1e9, {"float32": 1e10}
    assert roofline.lower_bound_ms(Work(flop=10**8, bytes=10**6), torch.float32) == pytest.approx(10.0)
    assert roofline.lower_bound_ms(Work(flop=10**8, bytes=10**8), torch.float32) == pytest.approx(100.0)
    assert roofline.lower_bound_ms(Work(bytes=10**6), torch.bfloat16) == pytest.approx(1.0)
