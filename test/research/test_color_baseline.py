"""The color baseline predicts the most frequent class of each color."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets import Sample
from research.color_baseline import ColorBaseline, ColorBaselineConfig, main

RED, BLUE = (250, 5, 5), (5, 5, 250)


def _image(*colors: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.array([colors], dtype=np.uint8)


def test_predicts_the_most_frequent_class_of_a_color() -> None:
    seen = Sample(_image(RED, RED, RED, BLUE), np.array([[0, 0, 1, 1]], dtype=np.int16))
    assert ColorBaseline.fit([seen], 2).predict(_image(RED, BLUE)).tolist() == [[0, 1]]


def test_merges_colors_that_differ_by_less_than_a_quantization_step() -> None:
    baseline = ColorBaseline.fit([Sample(_image(RED, BLUE), np.array([[1, 0]], dtype=np.int16))], 2)
    assert baseline.predict(_image((249, 7, 3))).tolist() == [[1]]


def test_ignores_unlabeled_pixels() -> None:
    seen = Sample(_image(RED, RED, RED), np.array([[-1, -1, 1]], dtype=np.int16))
    assert ColorBaseline.fit([seen], 2).predict(_image(RED)).tolist() == [[1]]


def test_scores_low_on_the_synthetic_world(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    scores = main(ColorBaselineConfig(frames=12, seed=11, json=str(file)))
    assert 0 < scores.miou <= 0.35
    assert json.loads(file.read_text())["miou"] == scores.miou
