"""Image backbones: a ResNet, or a ViT whose tokens are reassembled into feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from lseg_ros.model.config import LSegConfig
from lseg_ros.model.decoder import ResidualConvUnit
from lseg_ros.model.reassemble import Reassemble
from lseg_ros.model.timm_backbone import TimmBackbone, TimmViTBackbone, build_timm_backbone

__all__ = ["ConvStem", "ResNetBackbone", "ViTBackbone", "build_backbone"]


def build_backbone(config: LSegConfig) -> ResNetBackbone | TimmBackbone | TimmViTBackbone | ViTBackbone:
    """Build the backbone of the architecture, with random weights."""
    if config.timm:
        return build_timm_backbone(config)
    return ResNetBackbone(config.resnet) if config.resnet else ViTBackbone(config)


class ResNetBackbone(nn.Module):
    """ResNet with feature maps at stride 4, 8, 16 and 32 (lang-seg, lseg_vit_zs.py)."""

    def __init__(self, blocks: Sequence[int]) -> None:
        super().__init__()
        net = ResNet(Bottleneck, list(blocks))
        first = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
        self.stages = nn.ModuleList([first, net.layer2, net.layer3, net.layer4])

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalized -> [(B, 256, H/4, W/4), ..., (B, 2048, H/32, W/32)]."""
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class ViTBackbone(nn.Module):
    """ViT with four reassembled feature maps at stride 4, 8, 16 and 32 (DPT, section 3)."""

    def __init__(self, config: LSegConfig) -> None:
        super().__init__()
        stem_stride = 8 if config.stem else 1
        self.stem = ConvStem(config.stem, config.stem_depth) if config.stem else None
        self.vit = VisionTransformer(
            img_size=config.pretrained_size // stem_stride,
            patch_size=config.patch_size // stem_stride,
            in_chans=config.stem[-1] if config.stem else 3,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            num_classes=0,
        )
        self.vit.norm = nn.Identity()  # LSeg reads raw block outputs, without the final norm
        self.taps = config.taps
        strides = (16, 32) if config.stem else (4, 8, 16, 32)
        channels = config.reassemble[-len(strides) :]
        self.reassemble = nn.ModuleList(
            Reassemble(config.width, out, config.patch_size / stride) for out, stride in zip(channels, strides)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalized -> [(B, C1, H/4, W/4), ..., (B, C4, H/32, W/32)]."""
        maps: list[Tensor] = []
        if self.stem is not None:
            maps = self.stem(image)  # (B, C1, H/4, W/4), (B, C2, H/8, W/8)
        patches = self.vit.patch_embed.proj(maps[-1] if maps else image)  # (B, D, gh, gw)
        grid = patches.shape[-2:]
        tokens = torch.cat(
            [self.vit.get_parameter("cls_token").expand(len(patches), -1, -1), patches.flatten(2).mT], dim=1
        )
        tokens = tokens + self._position(grid)  # (B, 1 + gh gw, D)
        taps = iter(self.reassemble)
        for index, block in enumerate(self.vit.blocks):
            tokens = block(tokens)  # (B, 1 + gh gw, D)
            if index in self.taps:
                maps.append(next(taps)(tokens, grid))  # raw block output: no final norm
        return maps

    def _position(self, grid: torch.Size) -> Tensor:
        """Resize the position table to a grid of any shape, as the official code does."""
        table = self.vit.get_parameter("pos_embed")  # (1, 1 + side^2, D)
        cls, patches = table[:, :1], table[:, 1:]
        side = round(patches.shape[1] ** 0.5)
        square = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)  # (1, D, side, side)
        resized = F.interpolate(square, size=grid, mode="bilinear", align_corners=False)  # (1, D, gh, gw)
        return torch.cat([cls, resized.flatten(2).mT], dim=1)  # (1, 1 + gh gw, D)


class ConvStem(nn.Module):
    """Small residual network in front of a small ViT: it preserves edges and small objects."""

    def __init__(self, channels: tuple[int, ...], depth: int) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.stage1 = nn.Sequential(_downsample(3, half), nn.ReLU())
        self.stage2 = nn.Sequential(_downsample(half, quarter), *(ResidualConvUnit(quarter) for _ in range(depth)))
        self.stage3 = nn.Sequential(_downsample(quarter, eighth), *(ResidualConvUnit(eighth) for _ in range(depth)))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> [(B, C, H/4, W/4), (B, C', H/8, W/8)]."""
        quarter = self.stage2(self.stage1(image))  # (B, C, H/4, W/4)
        return [quarter, self.stage3(quarter)]


def _downsample(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs))
