"""Tests of summaries against a plain computation per label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.geometry import unproject
from lseg_ros.structures import Intrinsics, Segmentation
from lseg_ros.summary import summarize
from lseg_ros.vocabulary import Vocabulary

WORDS = Vocabulary.of(["floor", "sofa|couch", "person", "cup"], ids=[3, 1, 254, 7])
CAMERA = Intrinsics(fx=10.0, fy=10.0, cx=3.5, cy=2.5, width=8, height=6)


def random_segmentation(seed: int, ids: tuple[int, ...] = (0, 3, 1, 254)) -> Segmentation:
    random = np.random.default_rng(seed)
    label_map = random.choice(np.array(ids, np.uint8), (6, 8))
    confidence = np.where(label_map, random.integers(1, 256, (6, 8)), 0).astype(np.uint8)
    return Segmentation(label_map, confidence, WORDS)


def random_depth(seed: int, holes: float = 0.3) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.where(random.random((6, 8)) < holes, np.nan, random.uniform(0.5, 9.0, (6, 8))).astype(np.float32)


@given(st.integers(0, 2**16))
def test_matches_a_plain_computation_per_label(seed: int) -> None:
    segmentation, xyz = random_segmentation(seed), unproject(random_depth(seed), CAMERA)
    summary = summarize(segmentation, xyz)
    assert [item.label.id for item in summary.labels] == [
        label.id for label in WORDS.labels if (segmentation.label_map == label.id).any()
    ]
    assert summary.unlabeled_share + sum(item.share for item in summary.labels) == pytest.approx(1)
    for item in summary.labels:
        mask = segmentation.label_map == item.label.id
        points = xyz[mask & np.isfinite(xyz[..., 2])].astype(float)
        assert (item.pixels, item.points) == (mask.sum(), len(points))
        assert item.confidence == pytest.approx(segmentation.confidence[mask].mean() / 255)
        if len(points):
            assert item.distance_m == pytest.approx(np.linalg.norm(points, axis=1).min())
            assert (item.nearest == points).all(axis=1).any()
            assert item.centroid == pytest.approx(points.mean(axis=0))


def test_omits_labels_that_are_not_in_view() -> None:
    assert "cup" not in [item.label.name for item in summarize(random_segmentation(0), None).labels]


@pytest.mark.parametrize("holes", [None, 1.0], ids=["no depth", "depth unknown everywhere"])
def test_distances_are_nan_without_points(holes: float | None) -> None:
    xyz = None if holes is None else unproject(random_depth(0, holes), CAMERA)
    summary = summarize(random_segmentation(0), xyz)
    assert summary.has_depth == (xyz is not None)
    for item in summary.labels:
        assert item.points == 0
        assert np.isnan([item.distance_m, *item.nearest, *item.centroid]).all()


def test_has_no_labels_if_nothing_is_labeled() -> None:
    summary = summarize(random_segmentation(0, ids=(0,)), unproject(random_depth(0), CAMERA))
    assert summary.labels == () and summary.unlabeled_share == 1


def test_centroid_of_many_points_is_precise() -> None:
    xyz = np.full((480, 640, 3), 5.1, np.float32)
    label_map = np.ones((480, 640), np.uint8)
    (sofa,) = summarize(Segmentation(label_map, label_map, WORDS), xyz).labels
    assert sofa.centroid == pytest.approx(np.full(3, 5.1), rel=1e-6)
