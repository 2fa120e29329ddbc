"""``lseg evaluate`` from outside: scores of the shipped network, a file for machines, scenes unseen in training."""

import json
from pathlib import Path

import pytest

from lseg_ros.cli import main
from lseg_ros.datasets import SyntheticScenes
from lseg_ros.evaluation import EvaluationConfig, evaluate
from lseg_ros.streams.synthetic import CLASSES
from test.tiny_network import write_tiny


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep" / "scores.json"
    words = ["--preset", str(write_tiny(tmp_path)), "--dataset", "synthetic", "--frames", "2", "--seed", "3"]
    size = ["--width", "64", "--height", "48", "--no-color-baseline"]
    assert main(["evaluate", *words, *size, "--json", str(file)]) == 0
    scores = json.loads(file.read_text())
    assert set(scores["per_class"]) == set(CLASSES)
    assert 0 <= scores["miou"] <= 1
    assert 0 <= scores["pixel_accuracy"] <= 1
    assert scores["settings"]["seed"] == 3
    assert f"{scores['miou']:.3f}" in capsys.readouterr().out


def test_scores_repeat_and_other_seeds_show_other_scenes(tmp_path: Path) -> None:
    config = EvaluationConfig(str(write_tiny(tmp_path)), frames=2, seed=3, width=64, height=48, color_baseline=False)
    assert evaluate(config) == evaluate(config)
    one, other = SyntheticScenes(1, seed=3, width=64, height=48), SyntheticScenes(1, seed=4, width=64, height=48)
    assert (one[0].image != other[0].image).any()


def test_the_shipped_network_knows_its_words_and_colour_does_not() -> None:
    result = evaluate(EvaluationConfig(frames=12, seed=11, width=320, height=240))
    assert result.model.miou >= 0.5  # on 200 frames it has to reach 0.65; these are few, and chance is 0.02
    assert result.color_baseline is not None
    assert result.color_baseline.miou <= 0.35


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="dataset: expected one of synthetic, got 'ade20k'"):
        EvaluationConfig(dataset="ade20k")
    with pytest.raises(ValueError, match="frames: expected a value of at least 1, got 0"):
        EvaluationConfig(frames=0)
