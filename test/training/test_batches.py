"""Training batches: reproducible, padded, and with consistent prompts."""

from __future__ import annotations

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

GRAY = (127, 127, 127)
SCENES = changed(
    TrainingConfig(), dataset="synthetic", frames=10_000_000, colors=True, steps=8, batch_size=2, early_batch_size=3,
    widths=(64, 88), early_widths=(32,), base_size=0, crop=0, color_jitter=0.0, pixels_per_image=4096,
    label_sampler=LabelSamplerConfig(
        complete_share=0.4, color_share=0.4, others_share=0.05, max_distractors=48, prompts_per_image=2
    ),
)  # fmt: skip


def make_batches(config: TrainingConfig, images: Any = None, process: int = 0, processes: int = 1) -> Batches:
    images = images if images is not None else open_samples(config.data)
    sampler = build_label_sampler(images, config)
    shuffled = config.data.dataset != "synthetic"
    schedule = SampleSchedule(len(images), config.schedule, config.seed, processes, shuffled=shuffled)
    return Batches(config, images, sampler, schedule, GRAY, process)


def get(batches: Batches, number: int = 0) -> Batch:
    batch = batches[number]
    assert isinstance(batch, Batch)
    return batch


def test_alternates_scene_widths_and_pads_to_multiples_of_32() -> None:
    batches = make_batches(SCENES)
    sizes = [tuple(get(batches, number).image.shape) for number in (0, 1, 2)]
    assert sizes == [(2, 3, 64, 64), (2, 3, 96, 96), (2, 3, 64, 64)]
    assert get(batches, 1).target.shape == (2, 48, 48)


def test_padding_has_no_label_and_the_mean_color() -> None:
    second = get(make_batches(SCENES), 1)  # 88 x 66 in 96 x 96
    assert (second.image[..., 66:, :] == 127).all()
    assert (second.target[:, 34:] == IGNORE).all()


def test_early_steps_have_their_own_sizes_and_no_scene_repeats() -> None:
    config = changed(SCENES, early_steps=2)
    both = [make_batches(config, process=process, processes=2) for process in range(2)]
    batches = [get(both[process], step) for step in range(4) for process in range(2)]
    assert [len(batch.image) for batch in batches] == [3, 3, 3, 3, 2, 2, 2, 2]
    assert [batch.image.shape[-1] for batch in batches] == [32, 32, 32, 32, 64, 64, 96, 96]
    names = [name for batch in batches for name in batch.names]
    assert len(set(names)) == len(names)


def test_batches_are_reproducible_and_differ_from_each_other(tmp_path: Path) -> None:
    batches = make_batches(small_run(tmp_path, color_jitter=0.2, complete_share=0.5, pixels_per_image=7))
    first, again, second = get(batches), get(batches), get(batches, 1)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.target, again.target)
    assert torch.equal(first.draws, again.draws)
    assert first.draws.shape == (2, 7)
    assert all(torch.equal(a[0].text_indices, b[0].text_indices) for a, b in zip(first.prompts, again.prompts))
    assert not torch.equal(first.image, second.image)


def test_two_processes_share_a_batch_of_twice_the_size(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    halves = [get(make_batches(config, process=process, processes=2)) for process in range(2)]
    whole = get(make_batches(changed(config, batch_size=4)))
    assert torch.equal(torch.cat([half.image for half in halves]), whole.image)
    assert torch.equal(torch.cat([half.target for half in halves]), whole.target)
    assert halves[0].names + halves[1].names == whole.names


@pytest.mark.parametrize("full", [False, True])
def test_targets_map_to_a_position_in_the_prompt_or_to_ignore(full: bool) -> None:
    config = changed(SCENES, pixels_per_image=0, loss_at_full_resolution=full)
    for number in range(4):
        batch = get(make_batches(config), number)
        height, width = batch.image.shape[-2:]
        assert batch.target.shape[1:] == ((height, width) if full else (height // 2, width // 2))
        assert [len(prompts) for prompts in batch.prompts] == [2, 2]
        for target, prompts in zip(batch.target, batch.prompts):
            for text_indices, classes, target_lut in prompts:
                assert len(text_indices) == len(classes) > 0
                assert int(target_lut[target].max()) < len(text_indices)


def test_targets_are_the_classes_of_the_mask(tmp_path: Path) -> None:
    config = small_run(
        tmp_path, base_size=0, crop=0, flip=0.0, complete_share=0.0, loss_at_full_resolution=True, batch_size=1
    )
    images = open_samples(config.data)
    batch = get(make_batches(config))
    mask = next(images[i].target for i in range(len(images)) if images.name(i) == batch.names[0])
    target = batch.target[0, : mask.shape[0], : mask.shape[1]]
    known = target != IGNORE
    assert known.any()
    assert (target[known] == torch.from_numpy(mask)[known]).all()
    prompt = batch.prompts[0][0]
    position = prompt.target_lut[target]
    in_prompt = position != IGNORE
    assert in_prompt.any()
    assert (prompt.classes[position[in_prompt]] == target[in_prompt]).all()


def test_complete_prompts_contain_every_class() -> None:
    complete = LabelSamplerConfig(complete_share=1.0)
    batch = get(make_batches(changed(SCENES, label_sampler=complete)))
    assert all(prompt.text_indices.tolist() == list(range(len(CLASSES))) for (prompt,) in batch.prompts)


def test_a_zero_shot_set_prompts_with_one_class_and_others(tmp_path: Path) -> None:
    for category in ("cat", "dog"):
        write_image(tmp_path / "FSS-1000" / category / "1.jpg")
        write_mask(tmp_path / "FSS-1000" / category / "1.png", [[255, 255, 0, 0]] * 3)
    write_text(tmp_path / "splits" / "fss" / "trn.txt", "cat", "dog")
    data: dict[str, Any] = {"dataset": "fss_1000", "root": str(tmp_path), "complete_share": 0.0}
    config = changed(TrainingConfig(), **data, batch_size=2, crop=0, base_size=0)
    batch = get(make_batches(config))
    assert build_label_sampler(open_samples(config.data), config).classes == ("others", "cat", "dog")
    for name, (prompt,), target in zip(batch.names, batch.prompts, batch.target):
        assert prompt.classes.tolist() == [0, 1 if "cat" in name else 2]
        assert prompt.target_lut[target].unique().tolist() == [0, 1]


class ScenesWithUnknownClass(SyntheticScenes):
    """Scenes whose targets are an index without a class."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return Sample(sample.image, np.full_like(sample.target, 99))


def test_reports_the_sample_with_an_unknown_class() -> None:
    batch = make_batches(SCENES, ScenesWithUnknownClass(10, training=True))[0]
    assert batch == BatchError("synthetic scene 0 of seed 0: target: expected indices of 40 classes, got 99")


def test_reports_the_file_with_an_unknown_id_or_a_damaged_image(tmp_path: Path) -> None:
    config = small_run(tmp_path, batch_size=8)
    masks, images = tmp_path / "data" / "masks" / "train", tmp_path / "data" / "images" / "train"
    write_mask(masks / "3.png", np.full((64, 80), 7, np.uint8))
    batch = make_batches(config)[0]
    assert batch == BatchError(f"{masks / '3.png'}: expected the ids 0 to 2, 255, got 7")
    (images / "3.png").write_text("no image")
    batch = make_batches(config)[0]
    assert isinstance(batch, BatchError)
    assert batch.message.startswith(f"{images / '3.png'}: expected an image, got")
