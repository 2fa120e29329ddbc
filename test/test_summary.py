"""What a summary says, checked against a plain count of each label."""

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


def segmentation(seed: int, ids: tuple[int, ...] = (0, 3, 1, 254)) -> Segmentation:
    random = np.random.default_rng(seed)
    label_map = random.choice(np.array(ids, np.uint8), (6, 8))
    confidence = np.where(label_map, random.integers(1, 256, (6, 8)), 0).astype(np.uint8)
    return Segmentation(label_map, confidence, WORDS)


def depth(seed: int, holes: float = 0.3) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.where(random.random((6, 8)) < holes, np.nan, random.uniform(0.5, 9.0, (6, 8))).astype(np.float32)


@given(st.integers(0, 2**16))
def test_every_number_is_what_counting_by_hand_gives(seed: int) -> None:
    seen, xyz = segmentation(seed), unproject(depth(seed), CAMERA)
    summary = summarize(seen, xyz)
    assert [each.label.id for each in summary.labels] == [
        label.id for label in WORDS.labels if (seen.label_map == label.id).any()
    ]
    assert summary.unlabeled_share + sum(each.share for each in summary.labels) == pytest.approx(1)
    for each in summary.labels:
        own = seen.label_map == each.label.id
        points = xyz[own & np.isfinite(xyz[..., 2])].astype(float)
        assert (each.pixels, each.points) == (own.sum(), len(points))
        assert each.confidence == pytest.approx(seen.confidence[own].mean() / 255)
        if len(points):
            assert each.distance_m == pytest.approx(np.linalg.norm(points, axis=1).min())
            assert (each.nearest == points).all(axis=1).any()
            assert each.centroid == pytest.approx(points.mean(axis=0))


def test_a_label_that_is_not_in_view_is_not_listed() -> None:
    assert "cup" not in [each.label.name for each in summarize(segmentation(0), None).labels]


@pytest.mark.parametrize("holes", [None, 1.0], ids=["no depth", "depth that is nowhere known"])
def test_without_points_there_are_no_distances(holes: float | None) -> None:
    xyz = None if holes is None else unproject(depth(0, holes), CAMERA)
    summary = summarize(segmentation(0), xyz)
    assert summary.has_depth == (xyz is not None)
    for each in summary.labels:
        assert each.points == 0
        assert np.isnan([each.distance_m, *each.nearest, *each.centroid]).all()


def test_nothing_labeled_is_a_summary_without_labels() -> None:
    summary = summarize(segmentation(0, ids=(0,)), unproject(depth(0), CAMERA))
    assert summary.labels == () and summary.unlabeled_share == 1


def test_a_summary_of_many_points_keeps_its_precision() -> None:
    xyz = np.full((480, 640, 3), 5.1, np.float32)
    label_map = np.ones((480, 640), np.uint8)
    (sofa,) = summarize(Segmentation(label_map, label_map, WORDS), xyz).labels
    assert sofa.centroid == pytest.approx(np.full(3, 5.1), rel=1e-6)
