"""What is done to a network before it runs changes how fast it is, and the last digits."""

from __future__ import annotations

import copy

import pytest
import torch
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
)
from lseg_ros.model import PRESETS, LSeg, LSegConfig
from lseg_ros.model.backbone import Readout
from lseg_ros.model.decoder import ResidualConvUnit
from test.support.tiny_network import CONFIG


def network(config: LSegConfig) -> LSeg:
    """Random weights, and batch norms that do something."""
    torch.manual_seed(0)
    model = LSeg(config).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias, layer.weight):
                assert values is not None
                nn.init.normal_(values, 0.5, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model


def packed(model: LSeg) -> LSeg:
    """A copy as a Segmenter on a CPU makes it."""
    ready = copy.deepcopy(model)
    for part in (ready.backbone, ready.decoder):
        fold_batch_norms(part)
        part.to(next(model.backbone.parameters()).dtype)
        prepack_mkldnn(part)
    return ready


@torch.inference_mode()
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("config", [CONFIG, PRESETS["demo"]])
def test_folded_and_packed_it_makes_the_same_embeddings(config: LSegConfig, order: torch.memory_format) -> None:
    model, image = network(config), torch.randn(2, 3, 64, 96)
    ready = packed(model)
    kinds = {type(layer) for layer in ready.modules()}
    assert {PackedLinear, PackedReadout, PackedResidualUnit} <= kinds
    assert not {nn.BatchNorm2d, Readout, ResidualConvUnit} & kinds
    expected = model.encode_low_res(image)
    scale = float(expected.abs().max())
    found = ready.encode_low_res(image.to(memory_format=order))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * scale)


@torch.inference_mode()
@pytest.mark.skipif(not has_native_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16")
def test_packed_in_bfloat16_it_is_as_near_to_float32_as_before() -> None:
    model, image = network(PRESETS["demo"]), torch.randn(1, 3, 64, 96)
    expected = model.encode_low_res(image)
    for part in (model.backbone, model.decoder):
        fold_batch_norms(part)
        part.bfloat16()
    ready = packed(model)
    assert PackedAttention in {type(layer) for layer in ready.modules()}
    before, after = (each.encode_low_res(image.bfloat16()) for each in (model, ready))
    assert (after - expected).norm() <= 1.1 * (before - expected).norm()


def test_without_onednns_operations_everything_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "_OPERATIONS", ("of_another_pytorch",))
    kinds = {type(layer) for layer in packed(network(CONFIG)).modules()}
    assert not kinds & {PackedLinear, PackedResidualUnit}


@torch.inference_mode()
def test_a_resnets_batch_norms_are_folded_too() -> None:
    model, image = network(PRESETS["zs_resnet101"]).backbone, torch.randn(1, 3, 64, 64)
    expected = model(image)[-1]
    fold_batch_norms(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    torch.testing.assert_close(model(image)[-1], expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_a_network_that_is_handed_in_stays_as_it_is() -> None:
    model = network(CONFIG)
    Segmenter(model, SegmenterConfig(device="cpu", precision="float32"))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert not any(isinstance(layer, PackedLinear) for layer in model.modules())
