"""What an image is asked: words that make sense, each once, and never none."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.datasets import IGNORE
from lseg_ros.training.label_sampler import LabelPrompt, LabelSampler, LabelSamplerConfig
from test.support.dataset_trees import write_text

CLASSES = ("wall", "sofa|couch|settee", "screen", "screen", "ball")


def encode(texts: Sequence[str]) -> torch.Tensor:
    """Each text its own direction."""
    random = [torch.randn(16, generator=torch.Generator().manual_seed(zlib.crc32(text.encode()))) for text in texts]
    return torch.nn.functional.normalize(torch.stack(random), dim=-1)


def asked(sampler: LabelSampler, question: LabelPrompt) -> list[str]:
    """What the rows of a drawn question stand for."""
    return [sampler.texts[row - len(sampler.classes)] for row in question.text_indices.tolist()]


def test_a_class_has_the_mean_of_its_texts_and_each_text_has_its_own() -> None:
    sampler = LabelSampler.from_classes(CLASSES, LabelSamplerConfig())
    embeddings = sampler.embeddings(encode)
    assert sampler.texts == ("wall", "sofa", "couch", "settee", "screen", "ball", "others")
    assert torch.equal(embeddings[5:], encode(list(sampler.texts)))
    mean = encode(["sofa", "couch", "settee"]).mean(dim=0)
    torch.testing.assert_close(embeddings[1], mean / mean.norm())
    assert torch.allclose(embeddings.norm(dim=-1), torch.ones(12))


def test_the_complete_question_is_every_class_as_it_is_listed_even_twice() -> None:
    rows, classes, target_lut = LabelSampler.from_classes(CLASSES, LabelSamplerConfig()).complete()
    assert rows.tolist() == classes.tolist() == [0, 1, 2, 3, 4]
    assert target_lut.tolist() == [0, 1, 2, 3, 4, IGNORE]


def test_a_zero_shot_question_is_others_and_one_class() -> None:
    rows, classes, target_lut = LabelSampler.from_classes(CLASSES, LabelSamplerConfig()).complete([0, 4])
    assert (rows.tolist(), classes.tolist(), target_lut.tolist()) == ([0, 4], [0, 4], [0, -1, -1, -1, 1, -1])


@given(st.sets(st.integers(0, 4)), st.integers(0, 10_000))
def test_a_drawn_question_asks_no_text_twice_and_places_fit(present: set[int], seed: int) -> None:
    sampler = LabelSampler.from_classes(CLASSES, LabelSamplerConfig())
    question = sampler.random_subset(
        np.array(sorted(present), np.int16), LabelSamplerConfig(), np.random.default_rng(seed)
    )
    texts = asked(sampler, question)
    assert texts
    assert len(set(texts)) == len(texts)
    for index, place in enumerate(question.target_lut[:-1]):
        if place != IGNORE:
            assert texts[place] in CLASSES[index].split("|")
    assert question.target_lut[-1] == IGNORE


def test_every_synonym_gets_its_turn_and_most_of_what_is_in_view_is_asked() -> None:
    sampler, random = LabelSampler.from_classes(CLASSES, LabelSamplerConfig()), np.random.default_rng(0)
    drawn = [sampler.random_subset(np.array([1], np.int16), LabelSamplerConfig(), random) for _ in range(400)]
    sofas = [asked(sampler, each)[each.target_lut[1]] for each in drawn if each.target_lut[1] != IGNORE]
    assert 0.78 < len(sofas) / 400 < 0.92
    assert all(100 < sofas.count(text) * 400 / len(sofas) < 170 for text in ("sofa", "couch", "settee"))


COLORED, GENERAL = ("wall", "ball", "cup", "red ball", "blue ball", "red cup"), (0, 1, 2, 1, 1, 2)


def test_without_colors_a_red_ball_is_a_ball() -> None:
    question = LabelSampler.from_classes(COLORED, LabelSamplerConfig(), GENERAL).complete()
    assert question.text_indices.tolist() == [0, 1, 2]
    assert question.target_lut.tolist() == [0, 1, 2, 1, 1, 2, IGNORE]


def test_a_class_is_asked_in_every_color_or_in_none() -> None:
    sampler, random = LabelSampler.from_classes(COLORED, LabelSamplerConfig(), GENERAL), np.random.default_rng(0)
    drawn = [sampler.with_colors(np.array([0, 3], np.int16), random) for _ in range(40)]
    assert {tuple(each.text_indices.tolist()) for each in drawn} == {(0, 1, 2), (0, 2, 3, 4)}
    split = next(each for each in drawn if len(each.text_indices) == 4)
    assert split.target_lut.tolist() == [0, IGNORE, 1, 2, 3, 1, IGNORE]  # a ball of a color without a name is not asked
    assert split.classes.tolist() == [0, 2, 1, 1]  # a red ball weighs what a ball weighs


def test_one_word_is_asked_beside_others_and_every_other_pixel_is_others() -> None:
    sampler, random = LabelSampler.from_classes(COLORED, LabelSamplerConfig(), GENERAL), np.random.default_rng(0)
    for _ in range(20):
        rows, classes, target_lut = sampler.one_versus_others(np.array([3], np.int16), random)
        asked = int(rows[1])
        assert sampler.texts[int(rows[0]) - len(COLORED)] == "others"
        assert classes.tolist() == [-1, asked]
        assert target_lut.tolist() == [*(int(general == asked) for general in GENERAL), IGNORE]


def test_shares_decide_how_an_image_is_asked() -> None:
    present = np.array([0, 3], np.int16)
    ways = {"complete_share": {(0, 1, 2)}, "color_share": {(0, 1, 2), (0, 2, 3, 4)}}
    for share, expected in ways.items():
        shares = {"complete_share": 0.0, share: 1.0}
        config, random = LabelSamplerConfig(**shares), np.random.default_rng(0)  # type: ignore[arg-type]
        sampler = LabelSampler.from_classes(COLORED, config, GENERAL)
        assert {tuple(sampler.sample(present, config, random)[0].text_indices.tolist()) for _ in range(30)} == expected
    config = LabelSamplerConfig(complete_share=0.0, others_share=1.0)
    sampler = LabelSampler.from_classes(COLORED, config, GENERAL)
    assert all(len(sampler.sample(present, config, np.random.default_rng(n))[0].text_indices) == 2 for n in range(5))


def test_an_image_is_asked_several_questions_each_in_a_way_of_its_own() -> None:
    config, random = (
        LabelSamplerConfig(complete_share=0.6, others_share=0.4, prompts_per_image=2),
        np.random.default_rng(0),
    )
    for _ in range(20):
        both = LabelSampler.from_classes(COLORED, config, GENERAL).sample(np.array([0, 3], np.int16), config, random)
        assert sorted(len(each.text_indices) for each in both) == [2, 3]  # one and others, everything
    with pytest.raises(
        ValueError, match="prompts_per_image: expected at most as many as there are ways with a share, 2, got"
    ):
        LabelSamplerConfig(complete_share=0.6, others_share=0.4, prompts_per_image=3)


def test_shares_of_more_than_everything_are_refused() -> None:
    with pytest.raises(ValueError, match="expected shares that are 1 together at most, got 0.5, 0.4 and 0.2"):
        LabelSamplerConfig(complete_share=0.5, color_share=0.4, others_share=0.2)


def test_synonyms_and_distractors_come_from_files(tmp_path: Path) -> None:
    synonyms = write_text(tmp_path / "synonyms.txt", "Ball|sphere", "cup|mug")
    distractors = write_text(tmp_path / "distractors.txt", "cloud", "sphere", "wall", "cloud", "sea")
    config = LabelSamplerConfig(synonyms=str(synonyms), distractors=str(distractors), max_distractors=2)
    sampler = LabelSampler.from_classes(CLASSES, config)
    assert [sampler.texts[number] for number in sampler.class_texts[4]] == ["ball", "sphere"]
    assert [sampler.texts[number] for number in sampler.distractors] == ["cloud", "sea"]  # those that are no class's
    random = np.random.default_rng(0)
    drawn = [sampler.random_subset(np.array([0], np.int16), config, random) for _ in range(50)]
    strange = [[text for text, index in zip(asked(sampler, each), each.classes) if index < 0] for each in drawn]
    assert {len(each) for each in strange} == {0, 1, 2}
    assert {text for each in strange for text in each} == {"cloud", "sea"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.txt: expected a text file, but it does not exist"):
        LabelSampler.from_classes(CLASSES, LabelSamplerConfig(synonyms=str(tmp_path / "none.txt")))
