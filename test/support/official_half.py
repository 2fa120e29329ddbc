"""The order of half-precision operations of the authors' code on a GPU.

On a GPU the authors' text encoder (CLIP's) keeps its matrices in float16, and their ``forward`` correlates pixels and
words in float16 (lang-seg, modules/models/lseg_net.py). Everything else stays in float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lseg_ros.model import LSeg
from lseg_ros.model.lseg import LOGIT_SCALE
from lseg_ros.model.text_encoder import TextEncoder

__all__ = ["OfficialHalf"]


class OfficialHalf(LSeg):
    """A network with the weights of ``model`` that rounds where the authors' code rounds."""

    def __init__(self, model: LSeg) -> None:
        with torch.device("meta"):
            super().__init__(model.config)
            self.text_encoder = _HalfTextEncoder(model.config.text)
        self.load_state_dict(model.state_dict(), assign=True)
        self.text_encoder.half_matrices()
        self.eval()

    def correlate(self, pixels: Tensor, text: Tensor) -> Tensor:
        """Embeddings of pixels (B, C, h, w) and texts (K, C) -> (B, K, h, w) float32 logits.

        Both embeddings have unit norm. Pixels are rounded to half, scaled in half and multiplied in half. The scale is
        a float32 tensor on the device of the pixels, as in the authors' code: a GPU rounds it to half first, a CPU does
        not.
        """
        scale = torch.tensor(math.log(LOGIT_SCALE), device=pixels.device).exp()  # ()
        rows = pixels.movedim(1, -1)  # (B, h, w, C)
        products = scale * rows.reshape(-1, rows.shape[-1]).half() @ text.half().T  # (B h w, K)
        logits = products.float().view(*rows.shape[:3], -1).movedim(-1, 1)  # (B, K, h, w)
        return logits if self.regularization is None else self.regularization(logits)


class _HalfTextEncoder(TextEncoder):
    """CLIP's text encoder with matrices in float16, and norms and tables in float32."""

    def half_matrices(self) -> None:
        """Round the matrices to float16."""
        for module in self.transformer.modules():
            if isinstance(module, (nn.Linear, nn.MultiheadAttention)):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.half()
            if hasattr(module, "batch_first"):  # CLIP's order of axes: another order rounds differently
                module.batch_first = False
        self.text_projection.data = self.text_projection.data.half()

    def forward(self, text: Tensor) -> Tensor:
        """(K, L) int64 token ids -> (K, embed_dim) float16.

        A context shorter than L would round differently.
        """
        length = text.shape[1]
        x = self.token_embedding(text).half() + self.positional_embedding[:length].half()  # (K, L, width)
        causal = torch.full((length, length), -torch.inf, dtype=x.dtype, device=x.device).triu(1)  # (L, L)
        x = self._attend(x, causal)  # (K, L, width)
        x = self.ln_final(x[torch.arange(len(x), device=x.device), text.argmax(dim=-1)])  # (K, width)
        embeddings: Tensor = x @ self.text_projection  # (K, embed_dim)
        return embeddings
