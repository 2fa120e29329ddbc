"""The parts of the network that the benchmark measures."""

from __future__ import annotations

import pytest
import torch

from lseg_ros.benchmark.stages import ModelParts
from lseg_ros.model import PRESETS, LSeg, LSegConfig, config_from_names
from test.support.tiny_network import CONFIG


@torch.no_grad()
@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        PRESETS["demo"],
        PRESETS["demo_vit"],
        config_from_names("timm:vit_small_patch14_reg4_dinov2", depth=4, features=16),
        config_from_names("timm:resnet18", features=16),
    ],
)
def test_the_parts_together_equal_the_image_encoder(config: LSegConfig) -> None:
    torch.manual_seed(0)
    model = LSeg(config).eval()
    parts = ModelParts(model)
    image = torch.randn(1, 3, 64, 96)
    levels = parts.reassemble(parts.backbone(image), (64, 96))
    assert torch.equal(parts.head(parts.fusion(levels)), model.encode_low_res(image))
