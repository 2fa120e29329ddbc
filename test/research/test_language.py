"""The language suites: words, scores, output file and command."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lseg_ros.datasets.language_probes import GENERAL, SYNONYMS, UNSEEN
from lseg_ros.synthetic import CLASSES
from research.language import SUITES, SuiteConfig, SuiteScores, run_suite
from research.language.config import Suite
from research.language.networks import NETWORKS, WEIGHTS, load_comparison_network
from test.support.torchrun import run_in_two_processes


def _run(suite: Suite, frames: int = 6, seed: int = 11) -> SuiteScores:
    return run_suite(SuiteConfig(suite, frames=frames, seed=seed))


@pytest.mark.parametrize("suite", SUITES)
def test_writes_the_figures_that_the_table_shows(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "deep" / "scores.json"
    table = run_suite(SuiteConfig(suite, seed=5, frames=2, json=str(file))).table()
    written = json.loads(file.read_text())
    assert written["suite"] == suite
    assert written["scenes"] == 2
    assert written["settings"]["seed"] == 5
    for name, value in written["figures"].items():
        assert f"{name:<36} {value:6.3f}" in table
    assert all(iou is None or math.isnan(iou) or 0 <= iou <= 1 for iou in written["per_word"].values())


def test_command_prints_the_table(tmp_path: Path) -> None:
    arguments = ["general", "--preset", "demo", "--seed", "5", "--frames", "1", "--device", "cpu"]
    finished = _run_command(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert "general words, mean IoU" in finished.stdout


def test_command_explains_a_missing_checkpoint() -> None:
    finished = _run_command("general", "--checkpoint", "missing.safetensors")
    assert finished.returncode == 2
    assert finished.stderr.startswith("python -m research.language: checkpoint")
    assert "missing.safetensors" in finished.stderr


# One suite with the embedded network, and one with the comparison networks.
@pytest.mark.parametrize("suite", ["attributes", "zero-shot"])
def test_two_processes_score_a_suite_as_one_does(suite: Suite, tmp_path: Path) -> None:
    config = SuiteConfig(suite, device="cpu", seed=3, frames=5, json=str(tmp_path / "one.json"))
    run_suite(config)
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    arguments = [suite, "--device", "cpu", "--seed", "3", "--frames", "5", "--json", str(two)]
    started = run_in_two_processes("research.language", arguments)
    alone, together = (json.loads(file.read_text()) for file in (one, two))
    for scores in ("figures", "per_word", "scenes"):
        assert together[scores] == pytest.approx(alone[scores], abs=1e-6, nan_ok=True)
    assert started.stdout.count("mean IoU") == sum("mean IoU" in name for name in alone["figures"])


def test_scores_each_synonym_as_its_class() -> None:
    scores = _run("synonyms")
    assert set(scores.per_word) == {f"{other} ({name})" for name, other in SYNONYMS}
    assert scores.figures["other words / own words"] == pytest.approx(
        scores.figures["other words, mean IoU"] / scores.figures["own words, mean IoU"]
    )
    assert (scores.per_word["flooring (floor)"] or 0) > 0.5  # a word that every text encoder knows
    assert scores.figures["other words / own words"] < 1


def test_scores_the_colors_of_classes_with_unseen_combinations() -> None:
    scores = _run("attributes", frames=12)
    split_classes = {name for name, _ in UNSEEN}
    assert {word.split(" ", 1)[1] for word in scores.per_word} <= split_classes
    unseen = [iou for word, iou in scores.per_word.items() if tuple(word.split(" ", 1)[::-1]) in UNSEEN]
    known = [iou for iou in unseen if iou is not None]
    assert scores.figures["unseen combinations, mean IoU"] == pytest.approx(sum(known) / len(known))
    assert scores.figures["without colors, all classes"] > 0.4


def test_scores_general_words_on_the_pixels_of_their_members() -> None:
    scores = _run("general")
    assert set(scores.per_word) == set(GENERAL)
    assert scores.figures["animal: its members by name"] > 0.3


def test_compares_left_out_classes_with_seen_ones_and_chance() -> None:
    scores = _run("zero-shot", frames=20)
    assert set(scores.per_word) <= set(CLASSES)
    assert scores.figures["seen, mean IoU"] > scores.figures["chance, mean IoU"]
    assert scores.figures["seen, FB-IoU"] > scores.figures["chance, FB-IoU"]


@pytest.mark.parametrize("name", NETWORKS)
def test_comparison_networks_share_one_architecture(name: str) -> None:
    model = load_comparison_network(name)
    outputs = len(CLASSES) if name == "classes" else model.config.text.embed_dim
    assert model.head.weight.shape == (outputs, model.config.features, 1, 1)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 4e6


def test_names_the_command_that_makes_a_missing_network(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"python -m research\.language\.comparison_networks makes it"):
        load_comparison_network("all", folder=tmp_path)


def test_rejects_an_unknown_suite() -> None:
    with pytest.raises(ValueError, match="suite: expected one of fixed, synonyms, .*, got 'all'"):
        SuiteConfig("all")  # type: ignore[arg-type]


@pytest.mark.parametrize("suite", ["zero-shot", "head-baseline"])
def test_rejects_a_checkpoint_for_suites_with_their_own_networks(suite: Suite) -> None:
    with pytest.raises(ValueError, match=f"checkpoint: expected demo with suite {suite}"):
        SuiteConfig(suite, "vitl16")


def test_table_shows_whether_goals_are_reached() -> None:
    figures, goals = {"high": 0.9, "low": 0.1, "free": 0.5}, {"high": 0.85, "low": 0.2}
    lines = SuiteScores("fixed", 1, figures, {"cup": 0.25, "ball": None}, goals).table().splitlines()
    assert lines[0].split() == ["cup", "0.250"]
    assert [line.partition("(")[2] for line in lines[2:]] == ["goal 0.85: reached)", "goal 0.20: not reached)", ""]


def _run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "research.language", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)
