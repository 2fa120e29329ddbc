"""Tests of the text encoder, partly against recorded figures of the official code."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lseg_ros.model.text_encoder import TextConfig, TextEncoder
from test.support.fill import fill

FIGURES = json.loads((Path(__file__).parent / "data" / "text_figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def official() -> TextEncoder:
    """The text encoder of CLIP ViT-B/32 with the weights of the recorded figures."""
    with torch.device("meta"):
        encoder = TextEncoder(TextConfig(width=512, heads=8, layers=12, embed_dim=512))
    named = fill({f"clip_pretrained.{name}": tensor for name, tensor in encoder.state_dict().items()})
    weights = {name.removeprefix("clip_pretrained."): tensor for name, tensor in named.items()}
    encoder.load_state_dict(weights, strict=True, assign=True)
    return encoder.eval()


@pytest.fixture(scope="module")
def small() -> TextEncoder:
    torch.manual_seed(0)
    config = TextConfig(width=32, heads=2, layers=2, embed_dim=24, context_length=12, token_rank=8)
    return TextEncoder(config).eval()


def test_keys_are_those_of_the_official_text_tower(official: TextEncoder) -> None:
    keys = {f"clip_pretrained.{name}" for name in official.state_dict()}
    assert len(keys) == 149  # 12 layers of 12 tensors each, and 5 others
    assert set(FIGURES["fill_check"]) <= keys


@pytest.mark.parametrize("name", FIGURES["fill_check"])
def test_weights_are_those_of_the_recorded_figures(official: TextEncoder, name: str) -> None:
    tensor = official.state_dict()[name.removeprefix("clip_pretrained.")].double().flatten()
    found = [tensor.sum(), tensor.abs().sum(), tensor[0], tensor[-1]]
    expected = torch.tensor(FIGURES["fill_check"][name], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(found), expected, atol=1e-3, rtol=1e-6)


def test_tokens_equal_those_of_clip(official: TextEncoder) -> None:
    expected = FIGURES["tokens_without_padding"]
    tokens = official.tokenize(list(expected))
    assert tokens.shape == (len(expected), FIGURES["context_length"])
    assert tokens.dtype == torch.int64
    for text, row in zip(expected, tokens.tolist(), strict=True):
        size = len(expected[text])
        assert row[:size] == expected[text], text
        assert not any(row[size:]), text


def test_features_equal_those_of_the_official_code(official: TextEncoder) -> None:
    with torch.inference_mode():
        features = official(official.tokenize(FIGURES["labels"]))
    assert list(features.shape) == FIGURES["text_raw"]["shape"]
    torch.testing.assert_close(features[:, :8], torch.tensor(FIGURES["text_raw_first8"]), atol=1e-4, rtol=0)
    for index, value in FIGURES["text_raw"]["samples"]:
        assert features.flatten()[index].item() == pytest.approx(value, abs=1e-4)


def test_embeddings_are_float32_unit_vectors(small: TextEncoder) -> None:
    words = small.encode(["chair", "a red ball", ""])
    assert words.shape == (3, 24)
    assert words.dtype == torch.float32
    torch.testing.assert_close(words.norm(dim=-1), torch.ones(3))
    assert small.encode([]).shape == (0, 24)


def test_embedding_of_a_text_is_independent_of_other_texts(small: TextEncoder) -> None:
    alone = small.encode(["sofa"])
    torch.testing.assert_close(small.encode(["a much longer text than this", "sofa"])[1:], alone)


@pytest.mark.parametrize("rank", [None, 8])
def test_token_table_can_be_factored(rank: int | None) -> None:
    encoder = TextEncoder(TextConfig(width=32, heads=2, layers=1, embed_dim=24, token_rank=rank))
    table = {name: list(value.shape) for name, value in encoder.state_dict().items() if "token_embedding" in name}
    factored = {"token_embedding.0.weight": [49408, 8], "token_embedding.1.weight": [32, 8]}
    assert table == (factored if rank else {"token_embedding.weight": [49408, 32]})


def test_rejects_texts_that_are_too_long(small: TextEncoder) -> None:
    longest = " ".join(["chair"] * 10)
    assert small.tokenize([longest])[0, -1] == 49407
    with pytest.raises(ValueError, match=r"'chair( chair){10}': expected at most 12 tokens.*got 13"):
        small.tokenize(["sofa", f"{longest} chair"])
    with pytest.raises(ValueError, match="expected a list of texts, got the single text 'sofa'"):
        small.tokenize("sofa")


@settings(deadline=None, max_examples=50)  # the first text loads the tokenizer
@given(text=st.text(max_size=60))
def test_embeds_or_rejects_any_text(small: TextEncoder, text: str) -> None:
    try:
        embedding = small.encode([text])
    except ValueError as error:
        assert "expected at most 12 tokens" in str(error)
    else:
        assert torch.isfinite(embedding).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "heads: expected a divisor of the width 32, got 3"),
        ({"layers": 0}, "layers: expected integers from 1 to 256, got 0"),
        ({"token_rank": 0}, "token_rank: expected integers from 1 to 65536, got 0"),
        ({"context_length": 2}, "context_length: expected integers from 3 to 8192, got 2"),
    ],
)
def test_rejects_invalid_sizes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TextConfig(width=32, heads=2, layers=2, embed_dim=24), **change)
