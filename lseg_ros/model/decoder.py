"""The DPT decoder: four feature maps are fused, deepest first, into one at half the image's size."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Decoder", "Fusion", "ResidualConvUnit", "double"]


class Decoder(nn.Module):
    """Feature maps at stride 4, 8, 16, 32 -> one map at stride 2 (DPT, section 3: fusion; lseg.md 1.4)."""

    def __init__(self, channels: Sequence[int], features: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(each, features, 3, padding=1, bias=False) for each in channels)
        self.fusion = nn.ModuleList(
            Fusion(features, deepest=level == len(channels) - 1) for level in range(len(channels))
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[(B, C1, H/4, W/4), ..., (B, C4, H/32, W/32)] -> (B, features, H/2, W/2)."""
        features: Tensor = self.fusion[0](*self._below_the_last(maps))
        return features

    def coarse(self, maps: Sequence[Tensor]) -> Tensor:
        """The same before its last doubling: (B, features, H/4, W/4)."""
        last = self.fusion[0]
        assert isinstance(last, Fusion)
        return last.coarse(*self._below_the_last(maps))

    def _below_the_last(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """What the last fusion gets: its own level and the path from below, (B, F, H/4, W/4) both."""
        levels = [lateral(level) for lateral, level in zip(self.lateral, maps)]
        path: Tensor | None = None
        for fusion, level in zip(reversed(self.fusion[1:]), reversed(levels[1:])):
            path = fusion(level, path)  # (B, F, H/16, W/16), H/8, H/4
        return levels[0], path


class Fusion(nn.Module):
    """Add one level to what came from below it, refine, and double the size."""

    def __init__(self, features: int, *, deepest: bool = False) -> None:
        super().__init__()
        self.lateral_unit = None if deepest else ResidualConvUnit(features)
        self.refine_unit = ResidualConvUnit(features)
        self.project = nn.Conv2d(features, features, 1)

    def forward(self, lateral: Tensor, path: Tensor | None) -> Tensor:
        """(B, F, h, w) twice, or once at the deepest level -> (B, F, 2h, 2w)."""
        # The official code projects after upsampling. Bilinear weights sum to one, so a 1x1 convolution with its
        # bias commutes with them: before, it costs a quarter.
        return double(self.coarse(lateral, path))

    def coarse(self, lateral: Tensor, path: Tensor | None) -> Tensor:
        """The same before doubling: (B, F, h, w)."""
        fused = lateral if path is None or self.lateral_unit is None else path + self.lateral_unit(lateral)
        projected: Tensor = self.project(self.refine_unit(fused))  # (B, F, h, w)
        return projected


def double(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2h, 2w), as the official code upsamples everywhere."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Pre-activation residual unit: x + BN(conv(ReLU(BN(conv(ReLU(x)))))), the skip being x itself."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w) -> the same."""
        y = self.bn1(self.conv1(F.relu(x)))
        return x + self.bn2(self.conv2(F.relu(y)))
