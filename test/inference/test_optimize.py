"""Tests of the optimizations for inference: they change results by rounding only."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import Conv2dSame  # type: ignore[attr-defined]
from torch import nn

from lseg_ros.inference import Segmenter, SegmenterConfig, optimize
from lseg_ros.inference.device import has_native_bfloat16
from lseg_ros.inference.optimize import (
    PackedAttention,
    PackedLinear,
    PackedReadout,
    PackedResidualUnit,
    fold_batch_norms,
    prepack_mkldnn,
    replace_same_padding,
)
from lseg_ros.model import PRESETS, LSeg, LSegConfig
from lseg_ros.model.decoder import ResidualConvUnit
from lseg_ros.model.reassemble import Readout
from lseg_ros.model.timm_backbone import timm_config
from test.support.tiny_network import CONFIG


def build_network(config: LSegConfig) -> LSeg:
    """Build a network with random weights and batch norms that change their input."""
    torch.manual_seed(0)
    model = LSeg(config).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias, layer.weight):
                assert values is not None
                nn.init.normal_(values, 0.5, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model


def optimized(model: LSeg) -> LSeg:
    """Return a copy, optimized as by a Segmenter on a CPU."""
    result = copy.deepcopy(model)
    for part in (result.backbone, result.decoder):
        fold_batch_norms(part)
        replace_same_padding(part)
        part.to(next(model.backbone.parameters()).dtype)
        prepack_mkldnn(part)
    return result


@torch.inference_mode()
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("config", [CONFIG, PRESETS["demo_vit"]])
def test_folded_and_packed_network_gives_the_same_embeddings(config: LSegConfig, order: torch.memory_format) -> None:
    model, image = build_network(config), torch.randn(2, 3, 64, 96)
    optimized_model = optimized(model)
    kinds = {type(layer) for layer in optimized_model.modules()}
    assert {PackedLinear, PackedReadout, PackedResidualUnit} <= kinds
    assert not {nn.BatchNorm2d, Readout, ResidualConvUnit} & kinds
    expected = model.encode_low_res(image)
    scale = float(expected.abs().max())
    found = optimized_model.encode_low_res(image.to(memory_format=order))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * scale)


@torch.inference_mode()
def test_folded_and_packed_network_with_a_classifier_branch_gives_the_same_embeddings() -> None:
    model, image = build_network(PRESETS["demo"]), torch.randn(2, 3, 64, 96)
    optimized_model = optimized(model)
    assert nn.BatchNorm2d not in {type(layer) for layer in optimized_model.modules()}
    expected = model.encode_low_res(image)
    found = optimized_model.encode_low_res(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


@torch.inference_mode()
@pytest.mark.skipif(not has_native_bfloat16(torch.device("cpu")), reason="needs a processor with bfloat16")
def test_packing_in_bfloat16_does_not_increase_the_error() -> None:
    model, image = build_network(PRESETS["demo_vit"]), torch.randn(1, 3, 64, 96)
    expected = model.encode_low_res(image)
    for part in (model.backbone, model.decoder):
        fold_batch_norms(part)
        part.bfloat16()
    optimized_model = optimized(model)
    assert PackedAttention in {type(layer) for layer in optimized_model.modules()}
    before, after = (network.encode_low_res(image.bfloat16()) for network in (model, optimized_model))
    assert (after - expected).norm() <= 1.1 * (before - expected).norm()


def test_keeps_layers_if_onednn_operations_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "_OPERATIONS", ("of_another_pytorch",))
    kinds = {type(layer) for layer in optimized(build_network(CONFIG)).modules()}
    assert not kinds & {PackedLinear, PackedResidualUnit}


@torch.inference_mode()
def test_folds_batch_norms_of_a_resnet() -> None:
    model, image = build_network(PRESETS["zs_resnet101"]).backbone, torch.randn(1, 3, 64, 64)
    expected = model(image)[-1]
    fold_batch_norms(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    torch.testing.assert_close(model(image)[-1], expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@torch.inference_mode()
@pytest.mark.parametrize(
    "name, depth",
    [
        ("tf_efficientnet_lite0", 0),  # activations inside the batch norms, padding as in TensorFlow
        ("resnet18", 0),
        ("resnetv2_50x1_bit", 0),  # standardized weights, no batch norms
        ("densenet121", 0),  # batch norms before and after convolutions
        ("repvgg_a0", 0),  # batch norms of a block's input next to those of its convolutions
        ("mobilenetv3_small_050", 0),
        ("convnext_atto", 0),
        ("swinv2_tiny_window8_256", 0),  # attention that reads the weights of its layers
        ("eva02_tiny_patch14_224", 4),
        ("vit_small_patch14_reg4_dinov2", 4),
    ],
)
def test_optimized_backbone_of_timm_gives_the_same_embeddings(name: str, depth: int) -> None:
    model, image = build_network(timm_config(name, CONFIG.text, depth=depth, features=16)), torch.randn(2, 3, 64, 96)
    expected = model.encode_low_res(image)
    found = optimized(model).encode_low_res(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050", "regnety_002"])
def test_folds_all_batch_norms_of_a_convolutional_network_of_timm(name: str) -> None:
    backbone = build_network(timm_config(name, CONFIG.text, features=16)).backbone
    fold_batch_norms(backbone)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in backbone.modules())


@torch.inference_mode()
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_mobilenetv3_small_minimal_100"])
def test_padding_of_tensorflow_becomes_part_of_the_kernels(name: str) -> None:
    backbone, image = build_network(timm_config(name, CONFIG.text, features=16)).backbone, torch.randn(1, 3, 96, 64)
    assert any(type(layer) is Conv2dSame for layer in backbone.modules())
    expected = backbone(image)
    replace_same_padding(backbone)
    assert not any(type(layer) is Conv2dSame for layer in backbone.modules())
    torch.testing.assert_close(backbone(image), expected)


def test_packs_the_blocks_of_a_vit_of_timm() -> None:
    model = optimized(build_network(timm_config("vit_tiny_patch16_224", CONFIG.text, depth=4, features=16)))
    block = model.backbone.get_submodule("vit.blocks.0")
    assert isinstance(block.get_submodule("mlp.fc1"), PackedLinear)
    assert isinstance(block.get_submodule("attn.qkv"), PackedLinear)
    assert isinstance(model.backbone.get_submodule("reassemble.0.readout"), PackedReadout)


def test_segmenter_keeps_the_layers_of_a_given_network() -> None:
    model = build_network(CONFIG)
    Segmenter(model, SegmenterConfig(device="cpu", precision="float32"))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert not any(isinstance(layer, PackedLinear) for layer in model.modules())
