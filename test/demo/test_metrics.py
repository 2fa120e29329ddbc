"""Metrics of the demo."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.demo.metrics import SegmentationMetrics
from lseg_ros.vocabulary import Vocabulary

CLASSES = {"floor": 7, "chair": 9, "dog": 11}


@pytest.fixture
def metrics() -> SegmentationMetrics:
    return SegmentationMetrics(Vocabulary.of(["chair", "floor"]), CLASSES)  # ids 1 and 2


def test_pixels_of_other_classes_do_not_affect_the_iou(metrics: SegmentationMetrics) -> None:
    metrics.add(np.array([[1, 2, 2, 1]], np.uint8), np.array([[9, 7, 7, 11]], np.uint8), 0.0, 80.0)
    assert metrics.iou() == {"chair": 1.0, "floor": 1.0}


def test_iou_is_counted_over_all_frames(metrics: SegmentationMetrics) -> None:
    metrics.add(np.array([[1, 1]], np.uint8), np.array([[9, 7]], np.uint8), 0.0, 80.0)
    metrics.add(np.array([[2, 0]], np.uint8), np.array([[7, 7]], np.uint8), 0.5, 120.0)
    assert metrics.iou() == {"chair": pytest.approx(1 / 2), "floor": pytest.approx(1 / 3)}
    assert metrics.mean_iou() == pytest.approx(5 / 12)
    assert (metrics.frames, metrics.rate_hz, metrics.latency_ms(50)) == (2, 2.0, 100.0)


def test_labels_out_of_view_get_no_iou(metrics: SegmentationMetrics) -> None:
    metrics.add(np.array([[1, 2]], np.uint8), np.array([[7, 7]], np.uint8), 0.0, 80.0)
    assert metrics.iou() == {"floor": 0.5}


def test_frames_without_ground_truth_count_for_rate_and_latency_only(metrics: SegmentationMetrics) -> None:
    metrics.add(np.array([[1, 2]], np.uint8), None, 0.0, 80.0)
    assert metrics.frames == 1 and metrics.iou() == {}


def test_has_no_score_without_frames(metrics: SegmentationMetrics) -> None:
    assert np.isnan(metrics.mean_iou()) and metrics.frames == 0 and metrics.rate_hz == 0.0
