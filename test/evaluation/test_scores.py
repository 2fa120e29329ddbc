"""Scores agree with counting by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lseg_ros.evaluation import Confusion

CLASSES = ("floor", "wall", "dog")


def test_scores_of_a_small_image_counted_by_hand() -> None:
    confusion = Confusion(CLASSES)
    target = torch.tensor([[0, 0, 0, 1], [1, 1, -1, -1]])
    predicted = torch.tensor([[0, 0, 1, 1], [1, 0, 2, 2]])
    confusion.add(predicted, target)
    scores = confusion.scores()
    assert scores.per_class == {"floor": pytest.approx(2 / 4), "wall": pytest.approx(2 / 4), "dog": None}
    assert scores.miou == pytest.approx(0.5)
    assert scores.pixel_accuracy == pytest.approx(4 / 6)


def test_a_class_that_is_only_predicted_counts_against_the_one_it_is() -> None:
    confusion = Confusion(CLASSES)
    confusion.add(torch.tensor([2, 0]), torch.tensor([0, 0]))
    scores = confusion.scores()
    assert scores.per_class == {"floor": 0.5, "wall": None, "dog": None}
    assert scores.miou == 0.5


@settings(deadline=None)  # the first call imports
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=1, max_size=50), st.integers(0, 50))
def test_counting_in_parts_is_counting_at_once_and_agrees_with_sets(pairs: list[tuple[int, int]], cut: int) -> None:
    predicted, target = (torch.tensor(each) for each in zip(*pairs))
    whole, parts = Confusion(CLASSES), Confusion(CLASSES)
    whole.add(predicted, target)
    for part in (slice(None, cut), slice(cut, None)):
        parts.add(predicted[part], target[part])
    if not (target >= 0).any():
        with pytest.raises(ValueError, match="expected at least one labelled pixel"):
            whole.scores()
        return
    assert whole.scores() == parts.scores()
    known = target.numpy() >= 0
    for index, name in enumerate(CLASSES):
        p, t = (each.numpy()[known] == index for each in (predicted, target))
        union = np.logical_or(p, t).sum()
        expected = np.logical_and(p, t).sum() / union if t.any() else None
        assert whole.scores().per_class[name] == (None if expected is None else pytest.approx(expected))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the target's shape"):
        Confusion(CLASSES).add(torch.zeros(2, 2), torch.zeros(2, 3))


def test_the_table_lists_classes_from_best_to_worst() -> None:
    confusion = Confusion(CLASSES)
    confusion.add(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 1, 1]))
    rows = [row.split()[0] for row in confusion.scores().table().splitlines()]
    assert rows == ["wall", "floor", "mean", "pixel"]
