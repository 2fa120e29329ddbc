from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.demo.metrics import SegmentationMetrics
from lseg_ros.vocabulary import Vocabulary

CLASSES = {"floor": 7, "chair": 9, "dog": 11}


@pytest.fixture
def board() -> SegmentationMetrics:
    return SegmentationMetrics(Vocabulary.of(["chair", "floor"]), CLASSES)  # ids 1 and 2


def test_right_masks_score_one_whatever_pixels_nobody_asked_for_are_called(board: SegmentationMetrics):
    board.add(np.array([[1, 2, 2, 1]], np.uint8), np.array([[9, 7, 7, 11]], np.uint8), 0.0, 80.0)
    assert board.iou() == {"chair": 1.0, "floor": 1.0}


def test_iou_is_counted_over_all_frames(board: SegmentationMetrics):
    board.add(np.array([[1, 1]], np.uint8), np.array([[9, 7]], np.uint8), 0.0, 80.0)
    board.add(np.array([[2, 0]], np.uint8), np.array([[7, 7]], np.uint8), 0.5, 120.0)
    assert board.iou() == {"chair": pytest.approx(1 / 2), "floor": pytest.approx(1 / 3)}
    assert board.mean_iou() == pytest.approx(5 / 12)
    assert (board.frames, board.rate_hz, board.latency_ms(50)) == (2, 2.0, 100.0)


def test_without_a_frame_there_is_no_score(board: SegmentationMetrics):
    assert np.isnan(board.mean_iou()) and board.frames == 0 and board.rate_hz == 0.0
