"""The DPT decoder: fuses four feature maps into one at a quarter of the image size."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Decoder", "Fusion", "ResidualConvUnit", "upsample2x"]


class Decoder(nn.Module):
    """Fuse four feature maps, deepest first, into one map at stride 4 (DPT, section 3).

    The official decoder also upsamples its result to stride 2. That is left to the caller: the 1x1 head and the
    correlation commute with upsampling, and at stride 4 they cost a quarter.
    """

    def __init__(self, channels: Sequence[int], features: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, features, 3, padding=1, bias=False) for count in channels)
        self.fusion = nn.ModuleList(
            Fusion(features, deepest=level == len(channels) - 1) for level in range(len(channels))
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[(B, C1, H/4, W/4), ..., (B, C4, H/32, W/32)] -> (B, F, H/4, W/4)."""
        levels = [lateral(level) for lateral, level in zip(self.lateral, maps)]
        path: Tensor = self.fusion[-1](levels[-1])  # (B, F, H/32, W/32)
        for fusion, level in zip(reversed(self.fusion[:-1]), reversed(levels[:-1])):
            path = fusion(level, upsample2x(path))  # (B, F, H/16, W/16), H/8, H/4
        return path


class Fusion(nn.Module):
    """Add one level to the path from the deeper levels, and refine the sum.

    The official module also upsamples its result, before ``project``. Bilinear weights sum to one, so a 1x1 convolution
    with its bias commutes with the upsampling: before it, the convolution costs a quarter.
    """

    def __init__(self, features: int, *, deepest: bool = False) -> None:
        super().__init__()
        self.lateral_unit = None if deepest else ResidualConvUnit(features)
        self.refine_unit = ResidualConvUnit(features)
        self.project = nn.Conv2d(features, features, 1)

    def forward(self, lateral: Tensor, path: Tensor | None = None) -> Tensor:
        """(B, F, h, w) twice, or once at the deepest level -> (B, F, h, w)."""
        fused = lateral if path is None or self.lateral_unit is None else path + self.lateral_unit(lateral)
        projected: Tensor = self.project(self.refine_unit(fused))  # (B, F, h, w)
        return projected


def upsample2x(x: Tensor) -> Tensor:
    """Upsample bilinearly with aligned corners, as the official code does everywhere.

    Args:
        x: (B, C, h, w).

    Returns:
        (B, C, 2h, 2w).
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Pre-activation residual unit: x + BN(conv(ReLU(BN(conv(ReLU(x))))))."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, F, h, w)."""
        y = self.bn1(self.conv1(F.relu(x)))
        return x + self.bn2(self.conv2(F.relu(y)))
