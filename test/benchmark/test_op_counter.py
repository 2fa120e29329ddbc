"""The arithmetic and the bytes that the benchmark counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lang_seg.official_order import OfficialOrder
from lseg_ros.benchmark.op_counter import Work, counting, product
from lseg_ros.benchmark.parts import Parts
from lseg_ros.model import PRESETS, LSeg, LSegConfig
from test.support.tiny_network import CONFIG

GIGA = 1e9


def of(layer: nn.Module, *shape: int) -> Work:
    with counting(layer) as tally, torch.no_grad():
        layer(torch.zeros(shape))
    return tally.work


def on_meta(config: LSegConfig) -> LSeg:
    with torch.device("meta"):
        return LSeg(config).eval()


def test_a_linear_layer_multiplies_each_row_with_its_weights() -> None:
    assert of(nn.Linear(3, 5), 2, 7, 3) == Work(2 * 14 * 3 * 5, 4 * (42 + 15 + 5 + 70))


def test_a_convolution_meets_each_output_pixel_with_its_filters() -> None:
    assert of(nn.Conv2d(3, 8, 3, padding=1, bias=False), 1, 3, 4, 6) == Work(2 * 24 * 27 * 8, 4 * (72 + 216 + 192))


def test_a_transposed_convolution_meets_each_input_pixel_with_its_filters() -> None:
    assert of(nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False), 1, 4, 3, 5).flop == 2 * 15 * 4 * 2 * 4


def test_half_precision_moves_half_the_bytes() -> None:
    layer = nn.Linear(4, 4).bfloat16()
    with counting(layer) as tally, torch.no_grad():
        layer(torch.zeros(1, 4, dtype=torch.bfloat16))
    assert tally.work.bytes == 2 * (4 + 16 + 4 + 4)


def test_attention_counts_its_four_projections_and_all_tokens_with_all() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True, bias=False)
    with counting(layer) as tally, torch.no_grad():
        x = torch.zeros(3, 5, 8)
        layer(x, x, x, need_weights=False)
    assert tally.work.flop == 3 * (2 * 5 * 8 * 8 * 4 + 2 * 2 * 5 * 5 * 8)


def test_norms_and_activations_are_free() -> None:
    assert of(nn.Sequential(nn.LayerNorm(4), nn.GELU()), 2, 4) == Work()


def test_a_module_that_is_there_twice_counts_once_a_call() -> None:
    layer = nn.Linear(2, 2)
    with counting(nn.Sequential(layer), layer) as tally, torch.no_grad():
        layer(torch.zeros(1, 2))
    assert tally.work.flop == 8


def test_nothing_is_counted_afterwards() -> None:
    layer = nn.Linear(2, 2)
    with counting(layer) as tally:
        pass
    layer(torch.zeros(1, 2))
    assert tally.work == Work()


@torch.no_grad()
def test_the_published_network_costs_what_its_shapes_say() -> None:
    """480x480 and 150 labels: 625, 59, 100 and 24, together 808 GFLOP in the authors' order; ours saves 33 of them.

    Of those 8 are the readout's, and as it is shared by both here, they are missing from the authors' too.
    """
    model = on_meta(PRESETS["vitl16"])
    parts, official = Parts(model), OfficialOrder(model)
    image = torch.zeros(1, 3, 480, 480, device="meta")
    flop = {}
    with counting(model) as tally:
        taps = parts.backbone(image)
    flop["backbone"] = tally.work.flop
    with counting(model) as tally:
        levels = parts.reassemble(taps, (480, 480))
    flop["reassemble"] = tally.work.flop
    with counting(model) as tally:
        features = parts.fusion(levels)
    flop["fusion"] = tally.work.flop
    with counting(model) as tally:
        official.fusion(levels)
    flop["official fusion"] = tally.work.flop
    for name, read in (("head", features), ("official head", official.fusion(levels))):
        with counting(model) as tally:
            pixels = parts.head(read)
        flop[name] = tally.work.flop + product(pixels[0, 0].numel(), pixels.shape[1], 150, 4).flop
    rounded = {name: round(each / GIGA) for name, each in flop.items()}
    shared = {"backbone": 625, "reassemble": 52}
    assert rounded == {**shared, "fusion": 92, "official fusion": 100, "head": 6, "official head": 24}
    ours = sum(flop[name] for name in (*shared, "fusion", "head"))
    theirs = sum(flop[name] for name in (*shared, "official fusion", "official head"))
    assert (round(ours / GIGA), round(theirs / GIGA)) == (775, 801)


@torch.no_grad()
@pytest.mark.parametrize("config", [CONFIG, PRESETS["demo"], PRESETS["vitl16"], PRESETS["zs_resnet101"]])
def test_pytorch_counts_the_same(config: LSegConfig) -> None:
    model = on_meta(config)
    for block in getattr(getattr(model.backbone, "vit", None), "blocks", []):
        block.attn.fused_attn = False  # PyTorch's counter does not know every fused kernel
    image = torch.zeros(1, 3, 96, 160, device="meta")
    with counting(model) as tally, FlopCounterMode(display=False) as counter:
        model.encode_image(image)
    assert tally.work.flop == counter.get_total_flops()


@torch.no_grad()
@pytest.mark.parametrize("config", [CONFIG, PRESETS["demo"]])
def test_the_parts_make_up_the_image_encoder(config: LSegConfig) -> None:
    torch.manual_seed(0)
    model = LSeg(config).eval()
    parts = Parts(model)
    image = torch.randn(1, 3, 64, 96)

    def in_parts() -> Tensor:
        return parts.head(parts.fusion(parts.reassemble(parts.backbone(image), (64, 96))))

    assert torch.equal(in_parts(), model.encode_coarse(image))
