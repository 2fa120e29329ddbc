"""The color baseline learns which class a color most often is, and no more."""

import json
from pathlib import Path

import numpy as np

from lseg_ros.datasets import Sample
from research.color_baseline import ColorBaseline, ColorBaselineConfig, main

RED, BLUE = (250, 5, 5), (5, 5, 250)


def _image(*colors: tuple[int, int, int]) -> np.ndarray:
    return np.array([colors], dtype=np.uint8)


def test_a_color_gets_the_class_it_mostly_had() -> None:
    seen = Sample(_image(RED, RED, RED, BLUE), np.array([[0, 0, 1, 1]], dtype=np.int16))
    assert ColorBaseline.fit([seen], 2).predict(_image(RED, BLUE)).tolist() == [[0, 1]]


def test_colors_that_differ_by_less_than_a_step_are_one() -> None:
    baseline = ColorBaseline.fit([Sample(_image(RED, BLUE), np.array([[1, 0]], dtype=np.int16))], 2)
    assert baseline.predict(_image((249, 7, 3))).tolist() == [[1]]


def test_pixels_without_a_word_teach_nothing() -> None:
    seen = Sample(_image(RED, RED, RED), np.array([[-1, -1, 1]], dtype=np.int16))
    assert ColorBaseline.fit([seen], 2).predict(_image(RED)).tolist() == [[1]]


def test_scores_low_on_the_synthetic_world(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    scores = main(ColorBaselineConfig(frames=12, seed=11, json=str(file)))
    assert 0 < scores.miou <= 0.35
    assert json.loads(file.read_text())["miou"] == scores.miou
