"""Thresholds trade what is found against what is found wrongly."""

import pytest

from lseg_ros.datasets import DatasetConfig, SyntheticScenes
from lseg_ros.inference import Segmenter, SegmenterConfig
from research.thresholds import ThresholdConfig, main, measure_queries, measure_unlabeled

SCENES = SyntheticScenes(3, seed=7, width=160, height=120)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_checkpoint(SegmenterConfig(precision="float32"))


def test_a_higher_query_threshold_finds_less(segmenter: Segmenter) -> None:
    nothing, usual, everything = measure_queries(segmenter, SCENES, [0, 1, 2], (1.1, 0.5, -1.0))
    assert nothing == (0.0, 1.0)
    assert everything == (1.0, 0.0)
    assert usual.present > 0.5
    assert usual.absent > 0.5


def test_a_higher_unlabeled_threshold_drops_more(segmenter: Segmenter) -> None:
    nothing, usual, everything = measure_unlabeled(segmenter, SCENES, [0, 1, 2], (1.0, 0.4, 0.0))
    assert everything.others == 0
    assert everything.requested > 0.5
    assert everything.requested >= usual.requested > nothing.requested
    assert nothing.others > usual.others > 0


def test_prints_a_line_for_each_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    data = DatasetConfig(dataset="synthetic", frames=1, seed=7, width=160, height=120)
    main(ThresholdConfig(data=data, query_thresholds=(0.5,), unlabeled_thresholds=(0.4,)))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("query_threshold 0.5: found if present 0.")
    assert second.startswith("unlabeled_threshold 0.4: right 0.")
