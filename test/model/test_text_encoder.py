"""The text encoder, against the official code's figures and its own contract."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lseg_ros.model.text_encoder import TextConfig, TextEncoder
from test.support.fill import fill

FIGURES = json.loads((Path(__file__).parent / "data" / "text_figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def official() -> TextEncoder:
    """CLIP ViT-B/32's text encoder, filled by the figures' rule."""
    with torch.device("meta"):
        encoder = TextEncoder(TextConfig(width=512, heads=8, layers=12, embed_dim=512))
    filled = fill({f"clip_pretrained.{name}": tensor for name, tensor in encoder.state_dict().items()})
    weights = {name.removeprefix("clip_pretrained."): tensor for name, tensor in filled.items()}
    encoder.load_state_dict(weights, strict=True, assign=True)
    return encoder.eval()


@pytest.fixture(scope="module")
def small() -> TextEncoder:
    torch.manual_seed(0)
    config = TextConfig(width=32, heads=2, layers=2, embed_dim=24, context_length=12, token_rank=8)
    return TextEncoder(config).eval()


def test_keys_and_shapes_are_those_of_the_official_text_tower(official: TextEncoder) -> None:
    ours = {f"clip_pretrained.{name}" for name in official.state_dict()}
    assert len(ours) == 149  # 12 layers of 12 tensors, and 5 others
    assert set(FIGURES["fill_check"]) <= ours


@pytest.mark.parametrize("name", FIGURES["fill_check"])
def test_the_fill_rule_is_the_one_of_the_figures(official: TextEncoder, name: str) -> None:
    tensor = official.state_dict()[name.removeprefix("clip_pretrained.")].double().flatten()
    found = [tensor.sum(), tensor.abs().sum(), tensor[0], tensor[-1]]
    expected = torch.tensor(FIGURES["fill_check"][name], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(found), expected, atol=1e-3, rtol=1e-6)


def test_tokens_are_those_of_clip(official: TextEncoder) -> None:
    expected = FIGURES["tokens_without_padding"]
    tokens = official.tokenize(list(expected))
    assert tokens.shape == (len(expected), FIGURES["context_length"])
    assert tokens.dtype == torch.int64
    for text, row in zip(expected, tokens.tolist(), strict=True):
        size = len(expected[text])
        assert row[:size] == expected[text], text
        assert not any(row[size:]), text


def test_features_are_those_of_the_official_code(official: TextEncoder) -> None:
    with torch.inference_mode():
        features = official(official.tokenize(FIGURES["labels"]))
    assert list(features.shape) == FIGURES["text_raw"]["shape"]
    torch.testing.assert_close(features[:, :8], torch.tensor(FIGURES["text_raw_first8"]), atol=1e-4, rtol=0)
    for index, value in FIGURES["text_raw"]["samples"]:
        assert features.flatten()[index].item() == pytest.approx(value, abs=1e-4)


def test_embeddings_are_float32_unit_vectors_one_per_text(small: TextEncoder) -> None:
    words = small.encode(["chair", "a red ball", ""])
    assert words.shape == (3, 24)
    assert words.dtype == torch.float32
    torch.testing.assert_close(words.norm(dim=-1), torch.ones(3))
    assert small.encode([]).shape == (0, 24)


def test_a_texts_embedding_does_not_depend_on_its_company(small: TextEncoder) -> None:
    alone = small.encode(["sofa"])
    torch.testing.assert_close(small.encode(["a much longer text than this", "sofa"])[1:], alone)


@pytest.mark.parametrize("rank", [None, 8])
def test_the_token_table_may_be_factored(rank: int | None) -> None:
    encoder = TextEncoder(TextConfig(width=32, heads=2, layers=1, embed_dim=24, token_rank=rank))
    table = {name: list(value.shape) for name, value in encoder.state_dict().items() if "token_embedding" in name}
    factored = {"token_embedding.0.weight": [49408, 8], "token_embedding.1.weight": [32, 8]}
    assert table == (factored if rank else {"token_embedding.weight": [49408, 32]})


def test_a_text_that_is_too_long_is_refused_and_never_cut(small: TextEncoder) -> None:
    longest = " ".join(["chair"] * 10)
    assert small.tokenize([longest])[0, -1] == 49407
    with pytest.raises(ValueError, match=r"'chair( chair){10}': expected at most 12 tokens.*got 13"):
        small.tokenize(["sofa", f"{longest} chair"])
    with pytest.raises(ValueError, match="expected a list of texts, got the single text 'sofa'"):
        small.tokenize("sofa")


@settings(deadline=None, max_examples=50)  # the first text waits for the tokenizer
@given(text=st.text(max_size=60))
def test_any_text_is_either_embedded_or_refused_with_a_sentence(small: TextEncoder, text: str) -> None:
    try:
        embedding = small.encode([text])
    except ValueError as error:
        assert "expected at most 12 tokens" in str(error)
    else:
        assert torch.isfinite(embedding).all()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"heads": 3}, "heads: expected a divisor of the width 32, got 3"),
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"token_rank": 0}, "token_rank: expected at least 1, got 0"),
        ({"context_length": 2}, "context_length: expected at least 3"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TextConfig(**{"width": 32, "heads": 2, "layers": 2, "embed_dim": 24, **wrong})
