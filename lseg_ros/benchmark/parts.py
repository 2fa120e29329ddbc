"""An LSeg taken apart at the seams where it is measured."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from lseg_ros.model import LSeg

__all__ = ["Parts"]

M = TypeVar("M", bound=nn.Module)


class Parts:
    """``head(fusion(reassemble(backbone(image), size)))`` is ``encode_coarse(image)``, by the same modules.

    As the LSeg paper counts, reassembling includes the 3x3 convolutions that bring every level to the decoder's width.
    """

    def __init__(self, model: LSeg) -> None:
        self.model = model
        self._readouts: list[nn.Module] = list(getattr(model.backbone, "reassemble", ()))
        seams = nn.ModuleList(_Tokens() for _ in self._readouts)
        self._backbone = _with(model.backbone, "reassemble", seams) if self._readouts else model.backbone
        self._fusion = _with(model.decoder, "lateral", nn.ModuleList(nn.Identity() for _ in model.decoder.lateral))

    def backbone(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> what is read out of it: maps of a stem or a ResNet, (B, 1 + gh gw, D) tokens of a ViT."""
        return self._backbone(image)

    def reassemble(self, taps: list[Tensor], image_size: tuple[int, int]) -> list[Tensor]:
        """Taps -> the four levels (B, F, H/4, W/4) to (B, F, H/32, W/32). image_size: (H, W)."""
        model = self.model
        stem = len(taps) - len(self._readouts)
        grid = torch.Size(side // model.config.patch_size for side in image_size)
        maps = taps[:stem] + [readout(tokens, grid) for readout, tokens in zip(self._readouts, taps[stem:])]
        return [lateral(level) for lateral, level in zip(model.decoder.lateral, maps)]

    def fusion(self, levels: list[Tensor]) -> Tensor:
        """Levels -> (B, F, H/4, W/4)."""
        return self._fusion.coarse(levels)

    def head(self, features: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, C, h, w), not normalized."""
        coarse: Tensor = self.model.head(features.to(self.model.head.weight.dtype))
        return coarse


class _Tokens(nn.Module):
    """In the place of a readout: hands on what it would read."""

    def forward(self, tokens: Tensor, grid: torch.Size) -> Tensor:
        return tokens


def _with(module: M, name: str, child: nn.Module) -> M:
    """The same module, its weights shared, with another child."""
    changed = copy.copy(module)
    changed._modules = {**module._modules, name: child}
    return changed
