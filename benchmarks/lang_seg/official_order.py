"""The authors' order of operations (lang-seg, lseg_net.py) in float32.

It uses the modules of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lseg_ros.benchmark.stages import ModelParts
from lseg_ros.model import LSeg

__all__ = ["OfficialOrder"]

_LOGIT_SCALE = 1 / 0.07


class OfficialOrder:
    """The authors' forward pass, without the optimizations of this package.

    Every frame encodes every word again, through the whole context of the text encoder. The 1x1 convolution of each
    fusion follows its x2 upsampling. The logits of all labels are upsampled in float32 before the arg max.

    Backbone, reassemble and residual units are the modules of this package, although the readout of the authors needs
    twice the arithmetic (1 % of ``vitl16``).
    """

    def __init__(self, model: LSeg) -> None:
        """Wrap a model in float32.

        Raises:
            ValueError: The network has a classifier branch, which the authors' code lacks.
        """
        if model.decoder.classifier is not None:
            raise ValueError("checkpoint: expected a network without a classifier branch, such as demo_vit, got one")
        self.model = model
        self._parts = ModelParts(model)

    @torch.inference_mode()
    def label_map(self, image: Tensor, texts: Sequence[str]) -> Tensor:
        """(1, 3, H, W) normalized, H and W multiples of 32 -> (H, W) int64 indices of texts."""
        return self.logits(image, texts)[0].max(dim=0).indices

    @torch.inference_mode()
    def logits(self, image: Tensor, texts: Sequence[str]) -> Tensor:
        """(1, 3, H, W) normalized -> (1, K, H, W) float32."""
        text = self.encode_text(texts)  # (K, C)
        parts = self._parts
        levels = parts.reassemble(parts.backbone(image), (image.shape[2], image.shape[3]))
        features = self.model.head(self.fusion(levels))  # (1, C, H/2, W/2)
        pixels = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])  # (H/2 W/2, C)
        pixels = pixels / pixels.norm(dim=-1, keepdim=True)
        logits = _LOGIT_SCALE * pixels @ text.T  # (H/2 W/2, K)
        logits = logits.view(1, *features.shape[2:], -1).permute(0, 3, 1, 2)  # (1, K, H/2, W/2)
        if self.model.regularization is not None:
            logits = self.model.regularization(logits)
        return F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)

    def fusion(self, levels: Sequence[Tensor]) -> Tensor:
        """Fuse the levels like ``Decoder``, but with the 1x1 convolution after the upsampling."""
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
        """K texts -> (K, C) of unit norm.

        Encodes the whole context instead of the length of the longest text.
        """
        encoder: Any = self.model.text_encoder
        tokens = encoder.tokenize(texts).to(encoder.positional_embedding.device)  # (K, L)
        x = encoder.token_embedding(tokens) + encoder.positional_embedding  # (K, L, width)
        length = tokens.shape[1]
        causal = torch.full((length, length), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        x = encoder.ln_final(encoder._attend(x, causal))  # (K, L, width)
        embeddings = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)] @ encoder.text_projection  # (K, C)
        return embeddings / embeddings.norm(dim=-1, keepdim=True)
