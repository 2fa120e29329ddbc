"""Validation pictures: image, ground truth and prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets import IGNORE
from lseg_ros.training.validation import draw_sample

IMAGE = np.full((96, 128, 3), 90, np.uint8)
CLASSES = tuple(f"thing {number}|object {number}" for number in range(400))
TITLE, GAP = 28, 8


def panels(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [picture[TITLE:, left : left + 128] for left in (0, 128 + GAP, 2 * (128 + GAP))]


def test_truth_and_prediction_have_the_same_colors() -> None:
    target = np.full((96, 128), 5, np.int16)
    target[:, 64:] = 399
    image, truth, prediction = panels(draw_sample(IMAGE, target, target, CLASSES))
    assert (image == IMAGE).all()
    assert (truth == prediction).all()
    assert (truth[90, 10] != truth[90, 120]).any()


def test_ignored_pixels_show_the_image() -> None:
    target = np.full((96, 128), IGNORE, np.int16)
    _, truth, prediction = panels(draw_sample(IMAGE, target, np.zeros_like(target), CLASSES))
    assert (truth[90] == 90).all()
    assert (prediction[90] != 90).any()


def test_classes_with_the_same_name_share_a_color() -> None:
    target, predicted = np.zeros((96, 128), np.int16), np.ones((96, 128), np.int16)
    _, truth, prediction = panels(draw_sample(IMAGE, target, predicted, ("screen", "Screen")))
    assert (truth == prediction).all()


def test_draws_more_visible_classes_than_a_mask_has_ids() -> None:
    target = np.arange(96 * 128, dtype=np.int16).reshape(96, 128) % 400
    assert draw_sample(IMAGE, target, target, CLASSES).shape == (96 + TITLE, 3 * 128 + 2 * GAP, 3)


def test_draws_only_the_image_if_no_class_is_visible() -> None:
    target = np.full((96, 128), IGNORE, np.int16)
    assert draw_sample(IMAGE, target, target, CLASSES).shape == (96 + TITLE, 128, 3)
