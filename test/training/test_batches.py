"""Training batches: reproducible, of the network's sizes, asked with words that make sense."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lseg_ros.datasets import IGNORE, Sample, SyntheticScenes
from lseg_ros.synthetic import CLASSES
from lseg_ros.training.batches import Batch, BatchError, Batches, build_label_sampler
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.label_sampler import LabelSamplerConfig
from lseg_ros.training.schedule import SampleSchedule
from lseg_ros.training.validation import open_samples
from test.support.dataset_trees import write_image, write_mask, write_text
from test.support.small_run import changed, small_run

GREY = (127, 127, 127)
SCENES = changed(
    TrainingConfig(), dataset="synthetic", frames=10_000_000, colors=True, steps=8, batch_size=2, early_batch_size=3,
    widths=(64, 88), early_widths=(32,), base_size=0, crop=0, color_jitter=0.0, pixels_per_image=4096,
    label_sampler=LabelSamplerConfig(
        complete_share=0.4, color_share=0.4, others_share=0.05, max_distractors=48, prompts_per_image=2
    ),
)  # fmt: skip


def batches_of(config: TrainingConfig, images: Any = None, process: int = 0, processes: int = 1) -> Batches:
    images = images if images is not None else open_samples(config.data)
    sampler = build_label_sampler(images, config)
    shuffled = config.data.dataset != "synthetic"
    schedule = SampleSchedule(len(images), config.schedule, config.seed, processes, shuffled=shuffled)
    return Batches(config, images, sampler, schedule, GREY, process)


def batch(batches: Batches, number: int = 0) -> Batch:
    made = batches[number]
    assert isinstance(made, Batch)
    return made


def test_scenes_of_several_widths_take_turns_and_are_filled_up_to_what_the_network_takes() -> None:
    batches = batches_of(SCENES)
    sizes = [tuple(batch(batches, number).image.shape) for number in (0, 1, 2)]
    assert sizes == [(2, 3, 64, 64), (2, 3, 96, 96), (2, 3, 64, 64)]
    assert batch(batches, 1).target.shape == (2, 48, 48)


def test_filling_has_no_word_and_the_mean_color() -> None:
    second = batch(batches_of(SCENES), 1)  # 88 x 66 in 96 x 96
    assert (second.image[..., 66:, :] == 127).all()
    assert (second.target[:, 34:] == IGNORE).all()


def test_early_steps_have_their_own_sizes_and_no_scene_comes_twice() -> None:
    config = changed(SCENES, early_steps=2)
    both = [batches_of(config, process=process, processes=2) for process in range(2)]
    made = [batch(both[process], step) for step in range(4) for process in range(2)]
    assert [len(each.image) for each in made] == [3, 3, 3, 3, 2, 2, 2, 2]
    assert [each.image.shape[-1] for each in made] == [32, 32, 32, 32, 64, 64, 96, 96]
    names = [name for each in made for name in each.names]
    assert len(set(names)) == len(names)


def test_a_batch_is_the_same_every_time_and_no_two_are_alike(tmp_path: Path) -> None:
    batches = batches_of(small_run(tmp_path, color_jitter=0.2, complete_share=0.5, pixels_per_image=7))
    one, again, later = batch(batches), batch(batches), batch(batches, 1)
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.target, again.target)
    assert torch.equal(one.draws, again.draws)
    assert one.draws.shape == (2, 7)
    assert all(torch.equal(a[0].text_indices, b[0].text_indices) for a, b in zip(one.prompts, again.prompts))
    assert not torch.equal(one.image, later.image)


def test_two_processes_have_the_halves_of_one_batch_twice_as_large(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    halves = [batch(batches_of(config, process=process, processes=2)) for process in range(2)]
    whole = batch(batches_of(changed(config, batch_size=4)))
    assert torch.equal(torch.cat([each.image for each in halves]), whole.image)
    assert torch.equal(torch.cat([each.target for each in halves]), whole.target)
    assert halves[0].names + halves[1].names == whole.names


@pytest.mark.parametrize("full", [False, True])
def test_a_target_is_always_a_class_and_has_a_place_in_its_images_questions_or_none(full: bool) -> None:
    config = changed(SCENES, pixels_per_image=0, loss_at_full_resolution=full)
    for number in range(4):
        made = batch(batches_of(config), number)
        height, width = made.image.shape[-2:]
        assert made.target.shape[1:] == ((height, width) if full else (height // 2, width // 2))
        assert [len(each) for each in made.prompts] == [2, 2]
        for target, (rows, classes, target_lut) in (
            (target, question) for target, questions in zip(made.target, made.prompts) for question in questions
        ):
            assert len(rows) == len(classes) > 0
            assert int(target_lut[target].max()) < len(rows)


def test_targets_name_the_words_of_the_mask(tmp_path: Path) -> None:
    config = small_run(
        tmp_path, base_size=0, crop=0, flip=0.0, complete_share=0.0, loss_at_full_resolution=True, batch_size=1
    )
    images = open_samples(config.data)
    made = batch(batches_of(config))
    exact = next(images[i].target for i in range(len(images)) if images.name(i) == made.names[0])
    asked = made.target[0, : exact.shape[0], : exact.shape[1]]
    known = asked != IGNORE
    assert known.any()
    assert (asked[known] == torch.from_numpy(exact)[known]).all()
    question = made.prompts[0][0]
    found = (place := question.target_lut[asked]) != IGNORE
    assert found.any()
    assert (question.classes[place[found]] == asked[found]).all()


def test_every_word_can_be_asked_for_always() -> None:
    complete = LabelSamplerConfig(complete_share=1.0)
    made = batch(batches_of(changed(SCENES, label_sampler=complete)))
    assert all(question.text_indices.tolist() == list(range(len(CLASSES))) for (question,) in made.prompts)


def test_a_zero_shot_set_asks_each_image_for_one_class_and_others(tmp_path: Path) -> None:
    for category in ("cat", "dog"):
        write_image(tmp_path / "FSS-1000" / category / "1.jpg")
        write_mask(tmp_path / "FSS-1000" / category / "1.png", [[255, 255, 0, 0]] * 3)
    write_text(tmp_path / "splits" / "fss" / "trn.txt", "cat", "dog")
    data = {"dataset": "fss_1000", "root": str(tmp_path), "complete_share": 0.0}
    config = changed(TrainingConfig(), **data, batch_size=2, crop=0, base_size=0)
    made = batch(batches_of(config))
    assert build_label_sampler(open_samples(config.data), config).classes == ("others", "cat", "dog")
    for name, (question,), target in zip(made.names, made.prompts, made.target):
        assert question.classes.tolist() == [0, 1 if "cat" in name else 2]
        assert question.target_lut[target].unique().tolist() == [0, 1]


class Strange(SyntheticScenes):
    """Scenes with an index that no word belongs to."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return Sample(sample.image, np.full_like(sample.target, 99))


def test_an_index_without_a_word_is_a_sentence_that_names_the_sample() -> None:
    made = batches_of(SCENES, Strange(10, training=True))[0]
    assert made == BatchError(
        "synthetic scene 0 of seed 0: expected indices of 40 words in the target, got 99, which has no word"
    )


def test_a_mask_id_without_a_word_and_a_broken_file_are_sentences_that_name_the_file(tmp_path: Path) -> None:
    config = small_run(tmp_path, batch_size=8)
    masks, images = tmp_path / "data" / "masks" / "train", tmp_path / "data" / "images" / "train"
    write_mask(masks / "3.png", np.full((64, 80), 7, np.uint8))
    made = batches_of(config)[0]
    assert made == BatchError(f"{masks / '3.png'}: expected the ids 0 to 2, 255, got 7")
    (images / "3.png").write_text("no image")
    made = batches_of(config)[0]
    assert isinstance(made, BatchError)
    assert made.message.startswith(f"{images / '3.png'}: expected an image, got")
