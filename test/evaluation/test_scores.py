"""Scores agree with hand-counted examples and with an independent implementation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lseg_ros.datasets import IGNORE
from lseg_ros.evaluation import Confusion, EpisodeConfusion

CLASSES = ("floor", "wall", "dog")


def test_scores_of_a_small_image() -> None:
    confusion = Confusion(CLASSES)
    target = torch.tensor([[0, 0, 0, 1], [1, 1, -1, -1]])
    predicted = torch.tensor([[0, 0, 1, 1], [1, 0, 2, 2]])
    confusion.add(predicted, target)
    scores = confusion.scores()
    assert scores.per_class == {"floor": pytest.approx(2 / 4), "wall": pytest.approx(2 / 4), "dog": None}
    assert scores.miou == pytest.approx(0.5)
    assert scores.pixel_accuracy == pytest.approx(4 / 6)


def test_pixel_predicted_as_an_absent_class_is_an_error_of_its_own_class() -> None:
    confusion = Confusion(CLASSES)
    confusion.add(torch.tensor([2, 0]), torch.tensor([0, 0]))
    scores = confusion.scores()
    assert scores.per_class == {"floor": 0.5, "wall": None, "dog": None}
    assert scores.miou == 0.5


def test_pixel_without_a_prediction_lowers_only_the_iou_of_its_class() -> None:
    confusion = Confusion(CLASSES)
    confusion.add(torch.tensor([0, -1, 1, 1]), torch.tensor([0, 0, 1, 1]))
    assert confusion.scores().per_class == {"floor": 0.5, "wall": 1.0, "dog": None}
    assert confusion.scores().pixel_accuracy == 0.75


def test_classes_with_equal_names_have_separate_scores() -> None:
    confusion = Confusion(("screen", "wall", "screen"))
    confusion.add(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]))
    assert confusion.scores().per_class == {"screen (0)": 0.5, "wall": 1.0, "screen (2)": 0.0}


@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=1, max_size=50), st.integers(0, 50))
def test_counts_in_parts_equal_counts_at_once_and_numpy_sets(pairs: list[tuple[int, int]], cut: int) -> None:
    predicted, target = (torch.tensor(values) for values in zip(*pairs))
    whole, parts = Confusion(CLASSES), Confusion(CLASSES)
    whole.add(predicted, target)
    for part in (slice(None, cut), slice(cut, None)):
        parts.add(predicted[part], target[part])
    if not (target >= 0).any():
        with pytest.raises(ValueError, match="expected at least one labeled pixel"):
            whole.scores()
        return
    scores, known = whole.scores(), target.numpy() >= 0
    assert scores == parts.scores()
    expected = {}
    for index, name in enumerate(CLASSES):
        p, t = (indices.numpy()[known] == index for indices in (predicted, target))
        expected[name] = np.logical_and(p, t).sum() / np.logical_or(p, t).sum() if t.any() else None
    for name, iou in expected.items():
        assert scores.per_class[name] == (None if iou is None else pytest.approx(iou))
    assert scores.miou == pytest.approx(np.mean([iou for iou in expected.values() if iou is not None]))
    assert scores.pixel_accuracy == pytest.approx((predicted.numpy() == target.numpy())[known].mean())
    assert whole.running_miou() == scores.miou


def test_rejects_unknown_classes_and_different_shapes() -> None:
    confusion = Confusion(CLASSES)
    with pytest.raises(ValueError, match=r"prediction: expected the target's shape \(2, 3\), got \(2, 2\)"):
        confusion.add(torch.zeros(2, 2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="target: expected indices of 3 classes or -1, got 3"):
        confusion.add(torch.tensor([0, 0]), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="prediction: expected indices of 3 classes or -1, got -2"):
        confusion.add(torch.tensor([0, -2]), torch.tensor([0, 0]))


def test_table_lists_classes_from_best_to_worst() -> None:
    confusion = Confusion(CLASSES)
    confusion.add(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 1, 1]))
    rows = [row.split()[0] for row in confusion.scores().table().splitlines()]
    assert rows == ["wall", "floor", "mean", "pixel"]


def test_zero_shot_scores_of_small_episodes() -> None:
    confusion = EpisodeConfusion(("cat", "dog", "cow"))
    # cat: 2 of 3 pixels found and one false positive, so 2 / 4
    confusion.add(torch.tensor([[1, 1, 0, 1, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0, IGNORE]]), 0)
    # dog: 1 of 1, then 0 of 1; the sums are divided, so 1 / 2
    confusion.add(torch.tensor([[1, 0]]), torch.tensor([[1, 0]]), 1)
    confusion.add(torch.tensor([[0, 0]]), torch.tensor([[1, 0]]), 1)
    scores = confusion.scores()
    assert scores.per_class == {"cat": 0.5, "dog": 0.5, "cow": None}
    assert scores.miou == 0.5
    foreground, background = (
        3 / 6,
        3 / 6,
    )  # all classes: hits 2 + 1, union 4 + 2; background hits 1 + 1 + 1, union 3 + 1 + 2
    assert scores.fb_iou == pytest.approx((foreground + background) / 2)
    assert [row.split()[0] for row in scores.table().splitlines()] == ["cat", "dog", "mean", "FB-IoU"]


_MASKS = arrays.arrays(np.int64, (2, 3), elements=st.integers(0, 1))
_TARGETS = arrays.arrays(np.int64, (2, 3), elements=st.integers(-1, 1))


@given(st.lists(st.tuples(_MASKS, _TARGETS, st.integers(0, 2)), min_size=1, max_size=8))
def test_zero_shot_scores_match_the_papers_definition(episodes: list[tuple[np.ndarray, np.ndarray, int]]) -> None:
    """Intersections and unions are summed over episodes, then divided."""
    confusion = EpisodeConfusion(CLASSES)
    intersection, union = np.zeros((2, 3)), np.zeros((2, 3))
    for prediction, target, class_index in episodes:
        confusion.add(torch.from_numpy(prediction), torch.from_numpy(target), class_index)
        known = target != IGNORE
        for value in (0, 1):
            p, t = prediction[known] == value, target[known] == value
            intersection[value, class_index] += (p & t).sum()
            union[value, class_index] += (p | t).sum()
    if not union.sum():
        with pytest.raises(ValueError, match="expected at least one labeled pixel"):
            confusion.scores()
        return
    scores = confusion.scores()
    with np.errstate(invalid="ignore"):
        foreground = intersection[1] / union[1]
    assert [iou is None for iou in scores.per_class.values()] == np.isnan(foreground).tolist()
    if not np.isnan(foreground).all():
        assert scores.miou == pytest.approx(np.nanmean(foreground))
    both = intersection.sum(1) / np.maximum(union.sum(1), 1)
    assert scores.fb_iou == pytest.approx(both.mean())
