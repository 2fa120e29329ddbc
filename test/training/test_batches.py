"""Training batches: reproducible, of the network's sizes, asked with words that make sense."""

import dataclasses

import torch

from lseg_ros.datasets import IGNORE
from lseg_ros.streams.synthetic import CLASSES
from lseg_ros.training.batches import SceneBatches
from lseg_ros.training.config import TrainingConfig

CONFIG = TrainingConfig(steps=8, steps_per_epoch=4, batch_size=2, widths=(64, 88), early_steps=0, processes=2)


def test_widths_take_turns_and_are_filled_up_to_what_the_network_takes() -> None:
    batches = SceneBatches(CONFIG, epoch=0)
    assert [tuple(batches[index].image.shape) for index in (0, 1, 2)] == [
        (2, 3, 64, 64),
        (2, 3, 96, 96),
        (2, 3, 64, 64),
    ]
    assert batches[1].target.shape == (2, 48, 48)
    assert batches[1].asked.shape == (2, len(CLASSES))


def test_filling_has_no_word_and_no_colour() -> None:
    batch = SceneBatches(CONFIG, epoch=0)[1]  # 88 x 66 in 96 x 96
    below = batch.image[..., 66:, :]
    assert (below == 127).all()
    assert (batch.target[:, 34:] == IGNORE).all()


def test_a_batch_is_the_same_every_time_and_no_two_are_alike() -> None:
    one, again, later = SceneBatches(CONFIG, 0)[0], SceneBatches(CONFIG, 0)[0], SceneBatches(CONFIG, 1)[0]
    assert all(torch.equal(a, b) for a, b in zip(one, again))
    assert not torch.equal(one.image, later.image)


def test_early_steps_have_their_own_sizes_and_no_scene_comes_twice() -> None:
    config = dataclasses.replace(CONFIG, early_steps=2, early_batch_size=3, early_widths=(32,))
    batches = [SceneBatches(config, 0, process)[step] for step in range(4) for process in range(2)]
    assert [len(each.image) for each in batches] == [3, 3, 3, 3, 2, 2, 2, 2]
    assert [each.image.shape[-1] for each in batches] == [32, 32, 32, 32, 64, 64, 96, 96]
    plain = dataclasses.replace(config, widths=(32,), steps_per_epoch=10)
    images = torch.cat([SceneBatches(plain, 0, process)[step].image for step in range(5) for process in range(2)])
    either_way = torch.stack([images, images.flip(-1)], dim=1).flatten(2).float().mean(dim=2).amax(dim=1)
    assert len(either_way.unique()) == len(images)


def test_processes_see_different_scenes_of_the_same_size() -> None:
    one, other = SceneBatches(CONFIG, 0, process=0)[1], SceneBatches(CONFIG, 0, process=1)[1]
    assert one.image.shape == other.image.shape
    assert not torch.equal(one.image, other.image)


def test_a_target_is_always_among_the_words_its_image_is_asked_with() -> None:
    for index in range(4):
        batch = SceneBatches(dataclasses.replace(CONFIG, complete_share=0.0), 0)[index]
        assert batch.asked.any(dim=1).all()
        for target, asked in zip(batch.target, batch.asked):
            assert asked[target[target != IGNORE]].all()


def test_the_complete_set_can_be_asked_for_always() -> None:
    assert SceneBatches(dataclasses.replace(CONFIG, complete_share=1.0), 0)[0].asked.all()
