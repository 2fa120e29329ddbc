"""``lseg evaluate`` on the synthetic world: scores, JSON file, picture and error messages."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from lseg_ros.cli import main
from lseg_ros.datasets import DatasetConfig, SyntheticScenes
from lseg_ros.evaluation import EvaluationConfig, Scores, evaluate
from lseg_ros.synthetic import CLASSES
from test.support.tiny_network import write_tiny


def test_writes_the_scores_that_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "deep" / "scores.json", tmp_path / "other" / "confusions.png"
    network = ["--preset", str(write_tiny(tmp_path)), "--dataset", "synthetic", "--frames", "2", "--seed", "3"]
    size = ["--width", "64", "--height", "48"]
    assert main(["evaluate", *network, *size, "--json", str(file), "--picture", str(picture)]) == 0
    scores = json.loads(file.read_text())
    assert set(scores["per_class"]) == set(CLASSES)
    assert 0 <= scores["miou"] <= 1
    assert 0 <= scores["pixel_accuracy"] <= 1
    assert scores["samples"] == 2
    assert scores["settings"]["seed"] == 3
    assert "data" not in scores["settings"]  # all settings are on one level, by the names of their flags
    assert f"{scores['miou']:.3f}" in capsys.readouterr().out
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert min(drawn.shape[:2]) > 14 * len(CLASSES)


def test_scores_are_reproducible_and_seeds_change_the_scenes(tmp_path: Path) -> None:
    data = DatasetConfig(frames=2, seed=3, width=64, height=48)
    config = EvaluationConfig(str(write_tiny(tmp_path)), data=data)
    assert evaluate(config) == evaluate(config)
    one, other = SyntheticScenes(1, seed=3, width=64, height=48), SyntheticScenes(1, seed=4, width=64, height=48)
    assert (one[0].image != other[0].image).any()


def test_embedded_network_finds_the_classes_of_the_synthetic_world() -> None:
    result = evaluate(EvaluationConfig(data=DatasetConfig(frames=12, seed=11, width=320, height=240)))
    assert isinstance(result.scores, Scores)
    assert result.scores.miou >= 0.6  # 0.68 here and 0.71 with 200 frames; chance is 0.02


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "double"}, "protocol: expected one of single, official, got 'double'"),
        ({"arch_option": 3}, "arch_option: expected a value from -1 to 2, got 3"),
        (
            {"protocol": "official", "data": DatasetConfig("pascal_5i")},
            "protocol: expected single for pascal_5i, as in the paper, got official",
        ),
    ],
)
def test_rejects_invalid_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(**settings)


def test_passes_the_architecture_options_to_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file has no weights for this regularization, so the loader rejects the option."""
    assert main(["evaluate", "--checkpoint", write_tiny(tmp_path), "--arch-option", "1", "--frames", "1"]) == 2
    assert "scratch.head_block.depthwise" in capsys.readouterr().err
