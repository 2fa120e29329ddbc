"""The embedded text encoder knows synonyms, and the distillation that made it learns."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lseg_ros.model import load_lseg
from lseg_ros.model.text_encoder import TextEncoder
from research.text_distillation import wordnet
from research.text_distillation.corpus import Corpus, retrofit
from research.text_distillation.distillation import (
    DistillationConfig,
    DistillationSet,
    load_text_encoder,
    mean_cosine,
    save_text_encoder,
    train_text_encoder,
)
from research.text_distillation.teacher import Projection

_EVERYDAY = """
    chair table sofa bed lamp desk shelf door window wall floor ceiling carpet curtain pillow cup bottle book keyboard
    monitor plant tree grass car bicycle bus person dog cat ball box bag clock refrigerator mirror
"""
EVERYDAY = _EVERYDAY.split()
SMALL = DistillationConfig(
    steps=60,
    batch_size=32,
    learning_rate=1e-2,
    precision="float32",
    width=32,
    heads=2,
    layers=1,
    token_rank=8,
    embed_dim=16,
)


@pytest.fixture(scope="module")
def shipped() -> TextEncoder:
    """The text encoder of the embedded network."""
    encoder = load_lseg("demo").text_encoder
    assert isinstance(encoder, TextEncoder)
    return encoder


@pytest.fixture
def small() -> tuple[TextEncoder, DistillationSet]:
    """A small encoder, and everyday words with random targets."""
    torch.manual_seed(0)
    encoder = TextEncoder(SMALL.text)
    targets = torch.nn.functional.normalize(torch.randn(len(EVERYDAY), 16), dim=-1).numpy()
    return encoder, DistillationSet.from_texts(
        encoder, dict.fromkeys(EVERYDAY, 1.0), dict(zip(EVERYDAY, targets, strict=True))
    )


@pytest.mark.parametrize(
    ("word", "synonym"),
    [("sofa", "couch"), ("car", "automobile"), ("bicycle", "bike"), ("television", "tv"), ("rug", "carpet")],
)
def test_synonym_is_closer_than_any_other_everyday_word(shipped: TextEncoder, word: str, synonym: str) -> None:
    others = [other for other in EVERYDAY if other not in (word, synonym)]
    to_synonym, *to_others = _similarities(shipped, word, [synonym, *others])
    assert to_synonym > 0.6
    assert to_synonym > max(to_others) + 0.1


@pytest.mark.parametrize(("group", "member"), [("furniture", "sofa"), ("vehicle", "car"), ("animal", "dog")])
def test_member_is_closer_to_its_group_than_to_others(shipped: TextEncoder, group: str, member: str) -> None:
    others = [other for other in ("furniture", "vehicle", "animal") if other != group]
    to_group, *to_others = _similarities(shipped, member, [group, *others])
    assert to_group > max(to_others) + 0.2


def test_everyday_words_differ(shipped: TextEncoder) -> None:
    with torch.inference_mode():
        words = shipped.encode(EVERYDAY)
    between = (words @ words.T)[~torch.eye(len(EVERYDAY), dtype=torch.bool)]
    assert between.max() < 0.75
    assert between.mean().abs() < 0.15


def test_color_and_object_both_matter_in_a_phrase(shipped: TextEncoder) -> None:
    other_color, other_object, neither = _similarities(shipped, "red ball", ["blue ball", "red car", "green tree"])
    assert neither < min(other_color, other_object)
    assert max(other_color, other_object) < 0.9


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_lowers_the_loss_and_raises_the_cosine(
    small: tuple[TextEncoder, DistillationSet], optimizer: str
) -> None:
    encoder, training_set = small
    before = mean_cosine(encoder, training_set)
    losses = list(
        train_text_encoder(
            encoder, training_set, dataclasses.replace(SMALL, optimizer=optimizer), np.random.default_rng(0)
        )
    )
    assert len(losses) == SMALL.steps
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert mean_cosine(encoder, training_set) > before + 0.4


def test_training_stops_at_a_loss_that_is_not_finite(small: tuple[TextEncoder, DistillationSet]) -> None:
    encoder, training_set = small
    broken = dataclasses.replace(training_set, targets=torch.full_like(training_set.targets, torch.nan))
    with pytest.raises(RuntimeError, match="loss: expected a finite number, got nan in step 0"):
        next(train_text_encoder(encoder, broken, SMALL, np.random.default_rng(0)))


def test_saves_and_loads_an_encoder_with_its_metadata(
    small: tuple[TextEncoder, DistillationSet], tmp_path: Path
) -> None:
    encoder, _ = small
    config = dataclasses.replace(SMALL, output=str(tmp_path / "tower" / "small.safetensors"), seed=7)
    save_text_encoder(encoder, config, {"held_out_words": 0.5})
    restored = load_text_encoder(Path(config.output))
    assert restored.config == SMALL.text
    torch.testing.assert_close(restored.encode(["sofa"]), encoder.encode(["sofa"]), atol=1e-2, rtol=0)
    with safe_open(config.output, "pt") as file:
        origin = file.metadata()
    assert origin["seed"] == "7"
    assert json.loads(origin["figures"]) == {"held_out_words": 0.5}
    assert "MiniLM" in origin["teacher"]


def test_projection_removes_the_mean() -> None:
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(500, 24)).astype(np.float32) * np.linspace(2, 0.1, 24, dtype=np.float32) + 3
    targets = Projection.fit(embeddings, np.ones(500), 8, 0.3)(embeddings)
    assert targets.shape == (500, 8)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, rtol=1e-5)
    assert np.abs(targets.mean(0)).max() < 0.1
    assert np.all(np.diff(targets.std(0)) < 0.02)  # in order of decreasing variance


def test_phrases_are_unique_and_reproducible() -> None:
    nouns = {"ball": 3.0, "chair": 1.0}
    first, again = (wordnet.phrases(nouns, 300, np.random.default_rng(1)) for _ in range(2))
    assert first == again
    assert len(set(first)) == 300
    assert all("ball" in phrase or "chair" in phrase for phrase in first)
    assert sum("ball" in phrase for phrase in first) > 150


def test_held_out_words_occur_in_no_training_text() -> None:
    vocabulary = [wordnet.Word(text, 1.0, True) for text in (*EVERYDAY, "chair lift", "lift")]
    corpus = Corpus.build(
        vocabulary, lambda text: text != "wall", phrase_count=400, held_out=4, random=np.random.default_rng(0)
    )
    trained = [f" {text.lower()} " for text in corpus.trained]
    assert not [text for text in trained for word in (*corpus.held_words, *corpus.held_phrases) if f" {word} " in text]
    assert "wall" not in corpus.trained
    assert sum(corpus.trained.values()) == pytest.approx(1.0)


def test_reads_wordnet_without_proper_names(tmp_path: Path) -> None:
    for part in ("noun", "adj", "verb"):
        (tmp_path / f"data.{part}").write_text("  1 license\n")
    (tmp_path / "data.noun").write_text(
        "  1 license\n"
        "04256520 06 n 03 sofa 0 couch 0 coffee_table 0 001 @ 04161981 n 0000 | a seat\n"
        "02121620 05 n 02 cat 0 Felis_catus 0 001 @ 02120997 n 0000 | a feline\n"
        "05833840 09 n 01 idea 0 001 @ 05809192 n 0000 | a thought\n"
    )
    (tmp_path / "cntlist.rev").write_text("couch%1:06:00:: 1 9\nidea%1:09:00:: 1 9\n")
    words = {word.text: word for word in wordnet.words(tmp_path)}
    assert list(words) == ["cat", "coffee table", "couch", "idea", "sofa"]
    assert words["couch"].weight > words["sofa"].weight > words["coffee table"].weight - 1e-9
    assert words["couch"].weight > words["idea"].weight
    assert words["cat"].visible and not words["idea"].visible


def test_relations_are_synonyms_and_hypernyms_weighted_by_use(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(
        "  1 license\n"
        "04161981 06 n 01 seat 0 000 | furniture that is made for sitting on\n"
        "04256520 06 n 03 sofa 0 couch 0 lounge 1 001 @ 04161981 n 0000 | a seat\n"
        "09999999 18 n 01 couch 3 000 | a person\n"
    )
    (tmp_path / "cntlist.rev").write_text("couch%1:06:00:: 1 9\nlounge%1:06:00:: 1 90\ncouch%1:18:03:: 2 1\n")
    others = wordnet.relations(tmp_path)
    assert set(others["sofa"]) == {"couch", "lounge", "seat"}
    assert others["sofa"]["couch"] > 5 * others["sofa"]["lounge"]  # no use of lounge has this sense
    assert sum(others["sofa"].values()) == pytest.approx(2.0)
    assert (
        others["couch"]["sofa"] < others["lounge"]["sofa"] + others["lounge"]["couch"]
    )  # couch has another sense as well
    assert others["seat"] == {}


def test_retrofitting_moves_words_and_their_phrases_toward_related_words() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    targets = {"sofa": x, "couch": y, "red": z, "red sofa": x, "a photo of a sofa": z, "cup": z}
    moved = retrofit(targets, {"sofa": {"couch": 1.0, "unheard of": 5.0}, "cup": {}})
    half = np.float32(0.5**0.5)
    np.testing.assert_allclose(moved["sofa"], [half, half, 0], rtol=1e-6)
    assert moved["red sofa"] @ moved["sofa"] > 0.8 and moved["red sofa"] @ moved["red"] > 0.3
    assert moved["a photo of a sofa"] @ y > 0.4
    assert np.array_equal(moved["cup"], z) and np.array_equal(moved["couch"], y)
    assert all(np.linalg.norm(target) == pytest.approx(1) for target in moved.values())


def test_names_the_package_of_a_missing_wordnet(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="wordnet-base"):
        wordnet.words(tmp_path)


def _similarities(encoder: TextEncoder, text: str, others: list[str]) -> list[float]:
    with torch.inference_mode():
        first, *rest = encoder.encode([text, *others])
    return [float(first @ other) for other in rest]
