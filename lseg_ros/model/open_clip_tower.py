"""Text towers of open_clip by name."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from open_clip.model import CLIPTextCfg, _build_text_tower
from torch import Tensor, nn

from lseg_ros.model.text_encoder import TextConfig, TextEncoder

__all__ = ["OpenClipTextEncoder", "build_text_encoder", "text_config"]

# The fields that describe CLIP's own text tower completely.
_OF_CLIP = {"context_length", "vocab_size", "width", "heads", "layers"}


class OpenClipTextEncoder(nn.Module):
    """A text tower of open_clip other than CLIP's own, such as that of MobileCLIP or SigLIP.

    The interface is that of ``TextEncoder``. The tokenizer is open_clip's, or one of Hugging Face from its local cache.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        expected = text_config(config.open_clip, quick_gelu=config.quick_gelu)
        if config != expected:
            raise ValueError(f"text: expected {expected} for {config.open_clip}, got {config}")
        self.config = config
        sizes = CLIPTextCfg(**_model_config(config.open_clip)["text_cfg"])
        self.tower = _build_text_tower(config.embed_dim, sizes, config.quick_gelu)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K, context_length) int64 token ids.

        Raises:
            ValueError: If a text is too long; it is never truncated. Also if the tokenizer is not installed.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts: expected a list of texts, got the single text {texts!r}")
        tokenizer, limit = _tokenizer(self.config.open_clip), self.config.context_length
        for text in texts:
            count = _count_tokens(tokenizer, text)
            if count > limit:
                raise ValueError(
                    f"text {text!r}: expected at most {limit} tokens (start and end included), got {count}"
                )
        return tokenizer(list(texts)) if texts else torch.zeros(0, limit, dtype=torch.int64)

    def forward(self, text: Tensor) -> Tensor:
        """(K, context_length) int64 token ids -> (K, embed_dim) embeddings, not normalized."""
        output = self.tower(text)
        embeddings: Tensor = output[0] if isinstance(output, tuple) else output  # some towers also return the tokens
        return embeddings

    def encode(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K, embed_dim) float32 of unit norm.

        Raises:
            ValueError: If a text is too long, or the tokenizer is not installed.
        """
        embeddings: Tensor = self(self.tokenize(texts).to(self.tower.positional_embedding.device))
        return (embeddings / embeddings.norm(dim=-1, keepdim=True)).float()  # (K, embed_dim)


def build_text_encoder(config: TextConfig) -> OpenClipTextEncoder | TextEncoder:
    """Build the text encoder of the architecture, with random weights. Nothing is downloaded."""
    return OpenClipTextEncoder(config) if config.open_clip else TextEncoder(config)


def text_config(name: str, *, quick_gelu: bool | None = None) -> TextConfig:
    """Return the architecture of a text tower of open_clip. Nothing is downloaded.

    Args:
        name: Network of open_clip, such as ``ViT-B-16`` or ``MobileCLIP-S1``.
        quick_gelu: Activation that the weights were trained with; None is what open_clip has for the name.

    Raises:
        ValueError: If open_clip has no such network, or its text tower comes from Hugging Face.
    """
    config = _model_config(name)
    text = config["text_cfg"]
    if text.get("hf_model_name"):
        raise ValueError(
            f"open_clip: expected a text tower with the architecture in open_clip, got {name}, which downloads that of "
            f"{text['hf_model_name']} from Hugging Face"
        )
    plain = CLIPTextCfg()
    return TextConfig(
        width=text.get("width", plain.width),
        heads=text.get("heads", plain.heads),
        layers=text.get("layers", plain.layers),
        embed_dim=config["embed_dim"],
        context_length=text.get("context_length", plain.context_length),
        vocab_size=text.get("vocab_size", plain.vocab_size),
        quick_gelu=config.get("quick_gelu", False) if quick_gelu is None else quick_gelu,
        open_clip="" if text.keys() <= _OF_CLIP else name,
    )


def _model_config(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of a network.

    Names come from checkpoints too. open_clip would download the configuration of a name such as hf-hub:X.
    """
    if name not in open_clip.list_models():
        raise ValueError(
            f"open_clip: expected the name of a network of open_clip {open_clip.__version__}, got {name!r}"
        )
    config: dict[str, Any] = open_clip.get_model_config(name)
    return config


@functools.cache
def _tokenizer(name: str) -> Any:
    hub = _model_config(name)["text_cfg"].get("hf_tokenizer_name")
    if not hub:
        return open_clip.get_tokenizer(name)
    try:
        return open_clip.get_tokenizer(name, local_files_only=True)
    except (ImportError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"open_clip: expected the tokenizer {hub} of {name} in the cache of Hugging Face, got none; with internet "
            f'access, `pip install transformers sentencepiece` and `python3 -c "import open_clip; '
            f"open_clip.get_tokenizer('{name}')\"` put it there ({reason})"
        ) from error


def _count_tokens(tokenizer: Any, text: str) -> int:
    """Count the tokens of a text, with start and end."""
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        return len(tokenizer.encode(text)) + 2
    return len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids)
