"""Pictures of a run: image, truth and answer, a color for each class in view, however many there are."""

import numpy as np

from lseg_ros.datasets import IGNORE
from lseg_ros.training.validation import draw_sample

IMAGE = np.full((96, 128, 3), 90, np.uint8)
CLASSES = tuple(f"thing {number}|object {number}" for number in range(400))
TITLE, GAP = 28, 8


def panels(picture: np.ndarray) -> list[np.ndarray]:
    return [picture[TITLE:, left : left + 128] for left in (0, 128 + GAP, 2 * (128 + GAP))]


def test_truth_and_answer_have_the_same_colors() -> None:
    target = np.full((96, 128), 5, np.int16)
    target[:, 64:] = 399
    image, truth, answer = panels(draw_sample(IMAGE, target, target, CLASSES))
    assert (image == IMAGE).all()
    assert (truth == answer).all()
    assert (truth[90, 10] != truth[90, 120]).any()


def test_what_does_not_count_shows_the_image() -> None:
    target = np.full((96, 128), IGNORE, np.int16)
    _, truth, answer = panels(draw_sample(IMAGE, target, np.zeros_like(target), CLASSES))
    assert (truth[90] == 90).all()
    assert (answer[90] != 90).any()


def test_classes_of_the_same_word_are_one() -> None:
    target, answer = np.zeros((96, 128), np.int16), np.ones((96, 128), np.int16)
    _, truth, said = panels(draw_sample(IMAGE, target, answer, ("screen", "Screen")))
    assert (truth == said).all()


def test_more_classes_in_view_than_a_mask_has_ids_are_drawn_all_the_same() -> None:
    target = np.arange(96 * 128, dtype=np.int16).reshape(96, 128) % 400
    assert draw_sample(IMAGE, target, target, CLASSES).shape == (96 + TITLE, 3 * 128 + 2 * GAP, 3)


def test_nothing_in_view_leaves_the_image_alone() -> None:
    target = np.full((96, 128), IGNORE, np.int16)
    assert draw_sample(IMAGE, target, target, CLASSES).shape == (96 + TITLE, 128, 3)
