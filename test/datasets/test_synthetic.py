"""The synthetic world as a data set with separate training and evaluation scenes."""

import numpy as np
import pytest

from lseg_ros.datasets import IGNORE, SyntheticScenes
from lseg_ros.datasets.language_probes import COLORED, FOLDS, GENERAL, SYNONYMS, UNSEEN
from lseg_ros.synthetic import CLASSES, COLORS


def test_targets_are_indices_of_classes() -> None:
    scenes = SyntheticScenes(3, seed=1, width=64, height=48)
    assert scenes.classes == CLASSES
    for index in range(len(scenes)):
        image, target = scenes[index]
        assert image.shape == (48, 64, 3)
        assert target.shape == (48, 64)
        assert target.dtype == np.int16
        assert -1 <= target.min() <= target.max() < len(CLASSES)


def test_scenes_do_not_depend_on_their_number() -> None:
    few, many = SyntheticScenes(2, seed=1, width=64, height=48), SyntheticScenes(50, seed=1, width=64, height=48)
    assert np.array_equal(few[1].image, many[1].image)


def test_training_and_evaluation_share_no_scene() -> None:
    def first_scene(seed: int, training: bool) -> bytes:
        return SyntheticScenes(1, seed, training, width=64, height=48)[0].image.tobytes()

    pictures = [first_scene(seed, training) for seed in range(6) for training in (False, True)]
    assert len(set(pictures)) == len(pictures)


def test_index_must_be_in_range() -> None:
    with pytest.raises(IndexError, match="scene: expected 0 to 1, got 2"):
        SyntheticScenes(2)[2]


def test_colors_are_part_of_the_labels() -> None:
    plain = SyntheticScenes(4, seed=1, width=96, height=72)
    colored = SyntheticScenes(4, seed=1, width=96, height=72, colors=True)
    assert colored.classes[: len(CLASSES)] == CLASSES
    assert len(colored.classes) == len(CLASSES) + len(COLORED) * len(COLORS)
    general = np.array(colored.general)
    for index in range(4):
        target, scene = colored[index].target, colored.world(index).frame(30.0 * (index * 0.618033988749895 % 1.0))
        assert np.array_equal(general[target], plain[index].target)
        for word in np.unique(target):
            color, _, name = colored.classes[word].partition(" ")
            if word >= len(CLASSES):
                assert name in COLORED
                assert {scene.colors[instance] for instance in np.unique(scene.instances[target == word])} == {color}


def test_left_out_fold_has_no_labels_and_no_pixels() -> None:
    every, some = SyntheticScenes(6, 1, width=96, height=72), SyntheticScenes(6, 1, width=96, height=72, left_out=1)
    assert set(every.classes) - set(some.classes) == set(FOLDS[1])
    for index in range(6):
        known = some[index].target != -1
        assert np.array_equal(known, ~np.isin(np.array(CLASSES)[every[index].target], FOLDS[1]))
        names = np.array(some.classes)[some[index].target[known]]
        assert np.array_equal(names, np.array(CLASSES)[every[index].target[known]])


@pytest.mark.parametrize("colors", [False, True])
def test_training_ignores_unseen_combinations_of_class_and_color(colors: bool) -> None:
    scenes = SyntheticScenes(40, seed=1, training=True, width=64, height=48, colors=colors)
    left_out = 0
    for index in range(len(scenes)):
        scene = scenes.world(index).frame(30.0 * (index * 0.618033988749895 % 1.0))
        names, called = np.array(CLASSES)[scene.labels - 1], np.array(scene.colors)[scene.instances]
        unseen = np.logical_or.reduce([(names == name) & (called == color) for name, color in UNSEEN])
        assert np.array_equal(scenes[index].target == IGNORE, unseen)
        left_out += int(unseen.sum())
    assert left_out > 0


def test_language_probes_use_classes_and_colors_of_the_world() -> None:
    assert len(SYNONYMS) >= 25
    assert {name for name, _ in SYNONYMS} <= set(CLASSES)
    assert not {other for _, other in SYNONYMS} & set(CLASSES)
    assert {name for name, _ in UNSEEN} <= set(COLORED) <= set(CLASSES)
    assert {color for _, color in UNSEEN} <= set(COLORS)
    folded = [name for fold in FOLDS for name in fold]
    assert len(folded) == len(set(folded)) == 32
    assert set(folded) <= set(CLASSES)
    assert all(set(members) <= set(CLASSES) for members in GENERAL.values())
