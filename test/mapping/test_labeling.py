"""Labels of voxels."""

from __future__ import annotations

import numpy as np

from lseg_ros.mapping import LanguageMap, MapConfig, label_voxels
from test.support.rooms import CHANNELS, FAR_M, look, unit, wall_frame

LEFT, RIGHT, ROWS = slice(0, 64), slice(64, 128), slice(0, 96)


def two_halves() -> LanguageMap:
    """A wall of meaning 0, whose right half has meaning 1."""
    language_map = LanguageMap(MapConfig(map_memory_mb=4, map_extent_m=20.0), CHANNELS)
    language_map.integrate(look(wall_frame(), 0, ((ROWS, RIGHT, 1, FAR_M),)))
    return language_map


def test_a_voxel_has_the_most_similar_label_and_its_softmax() -> None:
    language_map = two_halves()
    words, ids = np.stack([unit(1), unit(0), unit(5)]), np.array([7, 9, 3], np.uint8)
    label, confidence = label_voxels(language_map, words, ids)
    x = language_map.voxels().centers[:, 0]
    assert (label[x > 0.1] == 7).all() and (label[x < -0.1] == 9).all()
    expected = 255 / (1 + 2 * np.exp(-1 / 0.07))
    assert abs(confidence[abs(x) > 0.1] - expected).max() <= 1


def test_uncertain_voxels_and_other_things_are_unlabeled() -> None:
    language_map = two_halves()
    twice = np.stack([unit(1), unit(1)])
    label, confidence = label_voxels(language_map, twice, np.array([7, 9], np.uint8), threshold=0.6)
    assert (label == 0).all() and (confidence == 0).all()
    label, _ = label_voxels(language_map, np.stack([unit(1), unit(0)]), np.array([0, 9], np.uint8))
    x = language_map.voxels().centers[:, 0]
    assert (label[x > 0.1] == 0).all() and (label[x < -0.1] == 9).all()
