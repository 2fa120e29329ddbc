"""The text encoder: CLIP's text transformer in several sizes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import LayerNormFp32, QuickGELU, TextTransformer
from torch import Tensor, nn

__all__ = ["TextConfig", "TextEncoder"]

_RANGES = {  # they come from the metadata of files; larger sizes would take minutes to build
    "width": (1, 1 << 16),
    "heads": (1, 1 << 10),
    "layers": (1, 256),
    "embed_dim": (1, 1 << 16),
    "context_length": (3, 1 << 13),  # start, token, end
    "vocab_size": (1, 1 << 24),
    "token_rank": (1, 1 << 16),
}


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Sizes of a text encoder.

    CLIP ViT-B/32 has ``TextConfig(width=512, heads=8, layers=12, embed_dim=512)``, RN50x16 ``(768, 12, 12, 768)``.

    Attributes:
        width: Channels of the tokens.
        heads: Attention heads of each layer.
        layers: Number of transformer layers.
        embed_dim: Dimensions of the embeddings.
        context_length: Maximum number of tokens of a text, with start and end.
        vocab_size: Number of different tokens.
        quick_gelu: Use OpenAI's approximation of GELU.
        token_rank: If set, the token table is the product of (vocab_size, token_rank) and (token_rank, width) matrices;
            the full table would be most of a small encoder.
        open_clip: Name of a network of open_clip whose text tower is not CLIP's own (``open_clip_tower.text_config``
            fills in the other fields).
    """

    width: int
    heads: int
    layers: int
    embed_dim: int
    context_length: int = 77
    vocab_size: int = 49408
    quick_gelu: bool = True
    token_rank: int | None = None
    open_clip: str = ""

    def __post_init__(self) -> None:
        for name, (minimum, maximum) in _RANGES.items():
            value = getattr(self, name)
            if name == "token_rank" and value is None:
                continue
            if type(value) is not int or not minimum <= value <= maximum:
                raise ValueError(f"{name}: expected integers from {minimum} to {maximum}, got {value!r}")
        if type(self.quick_gelu) is not bool:
            raise ValueError(f"quick_gelu: expected true or false, got {self.quick_gelu!r}")
        if not isinstance(self.open_clip, str):
            raise ValueError(f"open_clip: expected a name, got {self.open_clip!r}")
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of the width {self.width}, got {self.heads}")


class TextEncoder(TextTransformer):  # type: ignore[misc]  # open_clip has no types
    """Text encoder (LSeg, section 3): open_clip's TextTransformer with CLIP's tokenizer.

    Parameters are named as in OpenAI's CLIP, so the ``clip_pretrained.*`` text tensors of an LSeg checkpoint load
    strictly. With ``config.token_rank`` the token table is ``token_embedding.0.weight`` (vocab_size, token_rank) and
    ``token_embedding.1.weight`` (width, token_rank) instead of ``token_embedding.weight``.
    """

    def __init__(self, config: TextConfig) -> None:
        factored = config.token_rank is not None
        super().__init__(
            context_length=config.context_length,
            vocab_size=1 if factored else config.vocab_size,  # replaced below if the table is factored
            width=config.width,
            heads=config.heads,
            layers=config.layers,
            output_dim=config.embed_dim,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
            norm_layer=LayerNormFp32,  # as in CLIP: computes in float32 for any input
        )
        self.attn_mask = None  # made in forward: checkpoints lack this buffer, so it would stay on the meta device
        self.config = config
        if config.token_rank is not None:
            self.vocab_size = config.vocab_size
            self.token_embedding = _factored_table(config.vocab_size, config.token_rank, config.width)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Convert K texts to token ids: start, CLIP's BPE of the lower-case text, end, zeros.

        Returns:
            (K, context_length) int64.

        Raises:
            ValueError: If a text is too long; it is never truncated. The message names it, its length and the limit.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts: expected a list of texts, got the single text {texts!r}")
        tokenizer = _tokenizer()
        start, end = tokenizer.all_special_ids
        tokens = torch.zeros(len(texts), self.config.context_length, dtype=torch.int64)
        for row, text in zip(tokens, texts, strict=True):
            ids = [start, *tokenizer.encode(text), end]
            if len(ids) > len(row):
                raise ValueError(
                    f"text {text!r}: expected at most {len(row)} tokens (start and end included), got {len(ids)}"
                )
            row[: len(ids)] = torch.tensor(ids)
        return tokens

    def forward(self, text: Tensor) -> Tensor:
        """Embed texts.

        Args:
            text: (K, L) int64 token ids, with L up to ``context_length``.

        Returns:
            (K, embed_dim) embeddings, not normalized.
        """
        end = text.argmax(dim=-1)  # the end token has the highest id
        # Attention is causal, so tokens after the last end token change nothing: labels are short, the context is long.
        length = int(end.max()) + 1 if len(text) else text.shape[1]
        x = self.token_embedding(text[:, :length]) + self.positional_embedding[:length]  # (K, L, width)
        causal = torch.full((length, length), -torch.inf, dtype=x.dtype, device=x.device).triu(1)  # (L, L)
        x = self._attend(x, causal)  # (K, L, width)
        x = self.ln_final(x[torch.arange(len(x), device=x.device), end])  # (K, width)
        embeddings: Tensor = x @ self.text_projection  # (K, embed_dim)
        return embeddings

    def encode(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K, embed_dim) float32 of unit norm.

        Raises:
            ValueError: If a text is too long.
        """
        tokens = self.tokenize(texts).to(self.positional_embedding.device)
        embeddings: Tensor = self(tokens)
        return (embeddings / embeddings.norm(dim=-1, keepdim=True)).float()  # (K, embed_dim)

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run the transformer on (K, L, width); open_clip before 2.25 expects (L, K, width)."""
        batch_first = hasattr(self.transformer, "batch_first")
        y: Tensor = self.transformer(x if batch_first else x.transpose(0, 1), attn_mask=mask)
        return y if batch_first else y.transpose(0, 1)


def _factored_table(vocab_size: int, rank: int, width: int) -> nn.Sequential:
    """Build a factored token table, ids (..., L) -> (..., L, width)."""
    tokens, widen = nn.Embedding(vocab_size, rank), nn.Linear(rank, width, bias=False)
    nn.init.normal_(tokens.weight, std=1.0)
    nn.init.normal_(widen.weight, std=0.02 * rank**-0.5)  # the product has the standard deviation of open_clip's table
    return nn.Sequential(tokens, widen)


@functools.cache
def _tokenizer() -> Any:
    return SimpleTokenizer()
