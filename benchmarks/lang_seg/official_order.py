"""The authors' order of operations (lang-seg, lseg_net.py), with our modules and the same weights, in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lseg_ros.benchmark.parts import Parts
from lseg_ros.model import LSeg

__all__ = ["OfficialOrder"]

_SCALE = 1 / 0.07


class OfficialOrder:
    """What the authors' forward does, step by step, and nothing of what we do instead.

    Every frame encodes every word again, in all of the text encoder's context; the 1x1 convolution of each fusion comes
    after its x2 upsampling; every label's logits are upsampled in float32 before the arg max. Backbone, reassemble and
    the residual units are the modules that we run too, although the authors' readout does twice the arithmetic of ours
    (1 % of `vitl16`). model: in float32.
    """

    def __init__(self, model: LSeg) -> None:
        self.model = model
        self._parts = Parts(model)

    @torch.inference_mode()
    def label_map(self, image: Tensor, texts: Sequence[str]) -> Tensor:
        """(1, 3, H, W) normalized, H and W multiples of 32 -> (H, W) int64, indices of texts."""
        return self.logits(image, texts)[0].max(dim=0).indices

    @torch.inference_mode()
    def logits(self, image: Tensor, texts: Sequence[str]) -> Tensor:
        """(1, 3, H, W) normalized -> (1, K, H, W) float32."""
        text = self.encode_text(texts)  # (K, C)
        parts = self._parts
        levels = parts.reassemble(parts.backbone(image), (image.shape[2], image.shape[3]))
        features = self.model.head(self.fusion(levels))  # (1, C, H/2, W/2)
        rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])  # (H/2 W/2, C)
        rows = rows / rows.norm(dim=-1, keepdim=True)
        logits = _SCALE * rows @ text.T  # (H/2 W/2, K)
        logits = logits.view(1, *features.shape[2:], -1).permute(0, 3, 1, 2)  # (1, K, H/2, W/2)
        if self.model.regularization is not None:
            logits = self.model.regularization(logits)
        return F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)

    def fusion(self, levels: Sequence[Tensor]) -> Tensor:
        """As ``Decoder`` fuses, but with the 1x1 convolution at four times the pixels."""
        path: Tensor | None = None
        fusions: Any = self.model.decoder.fusion
        for fusion, level in zip(reversed(fusions), reversed(levels)):
            fused = level if path is None else path + fusion.lateral_unit(level)
            refined = fusion.refine_unit(fused)  # (B, F, h, w)
            upsampled = F.interpolate(refined, scale_factor=2, mode="bilinear", align_corners=True)
            path = fusion.project(upsampled)  # (B, F, 2h, 2w)
        assert path is not None
        return path

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K, C) of unit norm, through the whole context and not only as far as the longest text."""
        encoder = self.model.text_encoder
        tokens = encoder.tokenize(texts).to(encoder.positional_embedding.device)  # (K, L)
        x = encoder.token_embedding(tokens) + encoder.positional_embedding  # (K, L, width)
        length = tokens.shape[1]
        causal = torch.full((length, length), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        x = encoder.ln_final(encoder._attend(x, causal))  # (K, L, width)
        embeddings = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)] @ encoder.text_projection  # (K, C)
        return embeddings / embeddings.norm(dim=-1, keepdim=True)
