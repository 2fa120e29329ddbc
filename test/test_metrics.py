"""IoU from pixel counts."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.metrics import confusion_counts, iou_per_class


def test_counts_pairs_of_target_and_prediction() -> None:
    target, prediction = np.array([[0, 0], [1, 1]], np.uint8), np.array([[0, 1], [1, 1]], np.uint8)
    assert confusion_counts(target, prediction, 2).tolist() == [[1, 1], [0, 2]]


def test_divides_the_intersection_by_the_union() -> None:
    counts = np.array([[6, 2], [1, 3]])
    assert iou_per_class(counts) == pytest.approx([6 / 9, 3 / 6])


def test_pixels_without_a_prediction_count_as_misses() -> None:
    counts = np.array([[6, 2, 4], [1, 3, 0]])
    assert iou_per_class(counts) == pytest.approx([6 / 13, 3 / 6])


def test_is_zero_for_a_class_that_is_neither_present_nor_predicted() -> None:
    assert iou_per_class(np.array([[5, 0], [0, 0]])).tolist() == [1.0, 0.0]
