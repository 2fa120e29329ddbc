"""Label prompts: no duplicates, never empty, and consistent with the targets."""

from __future__ import annotations

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
COLORED, PARENTS = ("wall", "ball", "cup", "red ball", "blue ball", "red cup"), (0, 1, 2, 1, 1, 2)


def encode(texts: Sequence[str]) -> torch.Tensor:
    """Give every text its own direction."""
    random = [torch.randn(16, generator=torch.Generator().manual_seed(zlib.crc32(text.encode()))) for text in texts]
    return torch.nn.functional.normalize(torch.stack(random), dim=-1)


def texts_of_prompt(sampler: LabelSampler, prompt: LabelPrompt) -> list[str]:
    """The texts of a random subset."""
    return [sampler.texts[row - len(sampler.classes)] for row in prompt.text_indices.tolist()]


def test_embeds_every_class_as_the_mean_of_its_synonyms_and_every_text_alone() -> None:
    sampler = LabelSampler.from_classes(CLASSES, LabelSamplerConfig())
    embeddings = sampler.embeddings(encode)
    assert sampler.texts == ("wall", "sofa", "couch", "settee", "screen", "ball", "others")
    assert torch.equal(embeddings[5:], encode(list(sampler.texts)))
    mean = encode(["sofa", "couch", "settee"]).mean(dim=0)
    torch.testing.assert_close(embeddings[1], mean / mean.norm())
    assert torch.allclose(embeddings.norm(dim=-1), torch.ones(12))


def test_complete_prompt_lists_every_class_even_duplicates() -> None:
    text_indices, classes, target_lut = LabelSampler.from_classes(CLASSES, LabelSamplerConfig()).complete()
    assert text_indices.tolist() == classes.tolist() == [0, 1, 2, 3, 4]
    assert target_lut.tolist() == [0, 1, 2, 3, 4, IGNORE]


def test_zero_shot_prompt_is_others_and_one_class() -> None:
    text_indices, classes, target_lut = LabelSampler.from_classes(CLASSES, LabelSamplerConfig()).complete([0, 4])
    assert (text_indices.tolist(), classes.tolist()) == ([0, 4], [0, 4])
    assert target_lut.tolist() == [0, -1, -1, -1, 1, -1]


@given(st.sets(st.integers(0, 4)), st.integers(0, 10_000))
def test_random_subset_has_no_duplicate_text_and_correct_positions(present: set[int], seed: int) -> None:
    sampler = LabelSampler.from_classes(CLASSES, LabelSamplerConfig())
    visible = np.array(sorted(present), np.int16)
    prompt = sampler.random_subset(visible, LabelSamplerConfig(), np.random.default_rng(seed))
    texts = texts_of_prompt(sampler, prompt)
    assert texts
    assert len(set(texts)) == len(texts)
    for index, position in enumerate(prompt.target_lut[:-1].tolist()):
        if position != IGNORE:
            assert texts[position] in CLASSES[index].split("|")
    assert prompt.target_lut[-1] == IGNORE


def test_random_subset_uses_all_synonyms_and_most_visible_classes() -> None:
    sampler, random = LabelSampler.from_classes(CLASSES, LabelSamplerConfig()), np.random.default_rng(0)
    prompts = [sampler.random_subset(np.array([1], np.int16), LabelSamplerConfig(), random) for _ in range(400)]
    sofas = [
        texts_of_prompt(sampler, prompt)[prompt.target_lut[1]] for prompt in prompts if prompt.target_lut[1] != IGNORE
    ]
    assert 0.78 < len(sofas) / 400 < 0.92
    assert all(100 < sofas.count(text) * 400 / len(sofas) < 170 for text in ("sofa", "couch", "settee"))


def test_complete_prompt_maps_special_cases_to_their_parents() -> None:
    prompt = LabelSampler.from_classes(COLORED, LabelSamplerConfig(), PARENTS).complete()
    assert prompt.text_indices.tolist() == [0, 1, 2]
    assert prompt.target_lut.tolist() == [0, 1, 2, 1, 1, 2, IGNORE]


def test_color_prompt_splits_a_class_by_all_colors_or_not_at_all() -> None:
    sampler, random = LabelSampler.from_classes(COLORED, LabelSamplerConfig(), PARENTS), np.random.default_rng(0)
    prompts = [sampler.with_colors(np.array([0, 3], np.int16), random) for _ in range(40)]
    assert {tuple(prompt.text_indices.tolist()) for prompt in prompts} == {(0, 1, 2), (0, 2, 3, 4)}
    split = next(prompt for prompt in prompts if len(prompt.text_indices) == 4)
    assert split.target_lut.tolist() == [0, IGNORE, 1, 2, 3, 1, IGNORE]  # a ball of an unnamed color is ignored
    assert split.classes.tolist() == [0, 2, 1, 1]  # a red ball counts as a ball


def test_one_versus_others_assigns_all_other_pixels_to_others() -> None:
    sampler, random = LabelSampler.from_classes(COLORED, LabelSamplerConfig(), PARENTS), np.random.default_rng(0)
    for _ in range(20):
        text_indices, classes, target_lut = sampler.one_versus_others(np.array([3], np.int16), random)
        chosen = int(text_indices[1])
        assert sampler.texts[int(text_indices[0]) - len(COLORED)] == "others"
        assert classes.tolist() == [-1, chosen]
        assert target_lut.tolist() == [*(int(parent == chosen) for parent in PARENTS), IGNORE]


def test_shares_select_the_kind_of_prompt() -> None:
    present = np.array([0, 3], np.int16)
    kinds = {"complete_share": {(0, 1, 2)}, "color_share": {(0, 1, 2), (0, 2, 3, 4)}}
    for share, expected in kinds.items():
        shares = {"complete_share": 0.0, share: 1.0}
        config, random = LabelSamplerConfig(**shares), np.random.default_rng(0)  # type: ignore[arg-type]
        sampler = LabelSampler.from_classes(COLORED, config, PARENTS)
        prompts = [sampler.sample(present, config, random)[0] for _ in range(30)]
        assert {tuple(prompt.text_indices.tolist()) for prompt in prompts} == expected
    config = LabelSamplerConfig(complete_share=0.0, others_share=1.0)
    sampler = LabelSampler.from_classes(COLORED, config, PARENTS)
    for seed in range(5):
        assert len(sampler.sample(present, config, np.random.default_rng(seed))[0].text_indices) == 2


def test_samples_several_prompts_of_different_kinds() -> None:
    config = LabelSamplerConfig(complete_share=0.6, others_share=0.4, prompts_per_image=2)
    sampler, random = LabelSampler.from_classes(COLORED, config, PARENTS), np.random.default_rng(0)
    for _ in range(20):
        prompts = sampler.sample(np.array([0, 3], np.int16), config, random)
        assert sorted(len(prompt.text_indices) for prompt in prompts) == [2, 3]  # one versus others, complete


def test_rejects_more_prompts_than_kinds() -> None:
    with pytest.raises(
        ValueError, match=r"prompts_per_image: expected at most 2, the number of prompt kinds with a share, got 3"
    ):
        LabelSamplerConfig(complete_share=0.6, others_share=0.4, prompts_per_image=3)


def test_rejects_shares_that_sum_to_more_than_one() -> None:
    with pytest.raises(ValueError, match=r"expected a sum of at most 1, got 0\.5, 0\.4 and 0\.2"):
        LabelSamplerConfig(complete_share=0.5, color_share=0.4, others_share=0.2)


def test_reads_synonyms_and_distractors_from_files(tmp_path: Path) -> None:
    synonyms = write_text(tmp_path / "synonyms.txt", "Ball|sphere", "cup|mug")
    distractors = write_text(tmp_path / "distractors.txt", "cloud", "sphere", "wall", "cloud", "sea")
    config = LabelSamplerConfig(synonyms=str(synonyms), distractors=str(distractors), max_distractors=2)
    sampler = LabelSampler.from_classes(CLASSES, config)
    assert [sampler.texts[index] for index in sampler.class_texts[4]] == ["ball", "sphere"]
    assert [sampler.texts[index] for index in sampler.distractors] == ["cloud", "sea"]  # without words of the classes
    random = np.random.default_rng(0)
    prompts = [sampler.random_subset(np.array([0], np.int16), config, random) for _ in range(50)]
    sampled = [
        [text for text, index in zip(texts_of_prompt(sampler, prompt), prompt.classes) if index < 0]
        for prompt in prompts
    ]
    assert {len(texts) for texts in sampled} == {0, 1, 2}
    assert {text for texts in sampled for text in texts} == {"cloud", "sea"}


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.txt: expected a text file, but it does not exist"):
        LabelSampler.from_classes(CLASSES, LabelSamplerConfig(synonyms=str(tmp_path / "none.txt")))
