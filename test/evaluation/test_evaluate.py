"""``lseg evaluate`` from outside: scores, files for machines and people, scenes that training never showed."""

import json
from pathlib import Path

import cv2
import pytest

from lseg_ros.cli import main
from lseg_ros.datasets import DatasetConfig, SyntheticScenes
from lseg_ros.evaluation import EvaluationConfig, Scores, evaluate
from lseg_ros.synthetic import CLASSES
from test.support.tiny_network import write_tiny


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "deep" / "scores.json", tmp_path / "other" / "confusions.png"
    words = ["--preset", str(write_tiny(tmp_path)), "--dataset", "synthetic", "--frames", "2", "--seed", "3"]
    size = ["--width", "64", "--height", "48"]
    assert main(["evaluate", *words, *size, "--json", str(file), "--picture", str(picture)]) == 0
    scores = json.loads(file.read_text())
    assert set(scores["per_class"]) == set(CLASSES)
    assert 0 <= scores["miou"] <= 1
    assert 0 <= scores["pixel_accuracy"] <= 1
    assert scores["samples"] == 2
    assert scores["settings"]["seed"] == 3
    assert "data" not in scores["settings"]  # all are beside each other, by the names of their flags
    assert f"{scores['miou']:.3f}" in capsys.readouterr().out
    assert min(cv2.imread(str(picture)).shape[:2]) > 14 * len(CLASSES)


def test_scores_repeat_and_other_seeds_show_other_scenes(tmp_path: Path) -> None:
    data = DatasetConfig(frames=2, seed=3, width=64, height=48)
    config = EvaluationConfig(str(write_tiny(tmp_path)), data=data)
    assert evaluate(config) == evaluate(config)
    one, other = SyntheticScenes(1, seed=3, width=64, height=48), SyntheticScenes(1, seed=4, width=64, height=48)
    assert (one[0].image != other[0].image).any()


def test_the_shipped_network_knows_its_words() -> None:
    result = evaluate(EvaluationConfig(data=DatasetConfig(frames=12, seed=11, width=320, height=240)))
    assert isinstance(result.scores, Scores)
    assert result.scores.miou >= 0.5  # on 200 frames it has to reach 0.65; these are few, and chance is 0.02


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
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(**settings)


def test_what_the_file_cannot_say_reaches_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A regularization that the file has no weights for is refused by the loader, so the options arrive there."""
    assert main(["evaluate", "--checkpoint", write_tiny(tmp_path), "--arch-option", "1", "--frames", "1"]) == 2
    assert "scratch.head_block.depthwise" in capsys.readouterr().err
