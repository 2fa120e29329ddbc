"""The synthetic world as a data set: words by index, training and evaluation apart."""

import numpy as np
import pytest

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.streams.synthetic import CLASSES


def test_targets_index_the_words() -> None:
    scenes = SyntheticScenes(3, seed=1, width=64, height=48)
    assert scenes.classes == CLASSES
    for index in range(len(scenes)):
        image, target = scenes[index]
        assert image.shape == (48, 64, 3)
        assert target.shape == (48, 64)
        assert target.dtype == np.int16
        assert -1 <= target.min() <= target.max() < len(CLASSES)


def test_a_scene_is_the_same_however_many_there_are() -> None:
    few, many = SyntheticScenes(2, seed=1, width=64, height=48), SyntheticScenes(50, seed=1, width=64, height=48)
    assert np.array_equal(few[1].image, many[1].image)


def test_training_and_evaluation_never_share_a_scene() -> None:
    def first_scene(seed: int, training: bool) -> bytes:
        return SyntheticScenes(1, seed, training, width=64, height=48)[0].image.tobytes()

    pictures = [first_scene(seed, training) for seed in range(6) for training in (False, True)]
    assert len(set(pictures)) == len(pictures)


def test_a_scene_that_is_not_there_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="scene: expected 0 to 1, got 2"):
        SyntheticScenes(2)[2]
