"""Reassemble stage of DPT (section 3): the tokens of a ViT block become a feature map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Readout", "Reassemble"]


class Reassemble(nn.Module):
    """Turn tokens into a feature map: read out the class token, project, and resample.

    Without a class token the patch tokens are projected as they are (DPT, section 3, readout "ignore").
    """

    def __init__(self, width: int, channels: int, scale: float, *, class_token: bool = True) -> None:
        super().__init__()
        self.readout = Readout(2 * width, width) if class_token else None
        self.project = nn.Conv2d(width, channels, 1)
        self.resample: nn.Module = nn.Identity()
        if scale > 1:
            self.resample = nn.ConvTranspose2d(channels, channels, int(scale), stride=int(scale))
        elif scale < 1:
            self.resample = nn.Conv2d(channels, channels, 3, stride=round(1 / scale), padding=1)

    def forward(self, tokens: Tensor, grid: torch.Size) -> Tensor:
        """Reassemble tokens into a feature map.

        Args:
            tokens: (B, 1 + gh gw, D), or (B, gh gw, D) without a class token.
            grid: gh, gw.

        Returns:
            (B, channels, scale gh, scale gw).
        """
        read = tokens
        if self.readout is not None:
            patches, cls = tokens[:, 1:], tokens[:, :1]
            read = F.gelu(self.readout(patches, cls))  # (B, gh gw, D)
        return self.resample(self.project(read.mT.reshape(*read.mT.shape[:2], *grid)))


class Readout(nn.Linear):
    """Linear layer on each patch token concatenated with the class token.

    This is the readout "project" of DPT (section 3). The official code concatenates the two. The class token's half of
    the product is the same for all patches, so it is computed once.
    """

    def forward(self, patches: Tensor, cls: Tensor) -> Tensor:  # type: ignore[override]
        """(B, N, D), (B, 1, D) -> (B, N, out)."""
        patch_weight, cls_weight = self.weight.chunk(2, dim=1)  # (out, D)
        return F.linear(patches, patch_weight) + F.linear(cls, cls_weight, self.bias)
