"""The recipe of the embedded network, from the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lseg_ros.model import load_lseg
from lseg_ros.training.config import TrainingConfig
from research.recipes import synthetic
from research.recipes.synthetic import SYNTHETIC
from test.support.tiny_network import CONFIG, write_tiny


def test_flags_override_the_defaults_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[TrainingConfig] = []

    def record(config: TrainingConfig) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(synthetic, "run", record)
    assert synthetic.main(["--steps", "7"]) == 0
    expected = dataclasses.replace(SYNTHETIC, schedule=dataclasses.replace(SYNTHETIC.schedule, steps=7))
    assert dataclasses.asdict(configs[0]) == dataclasses.asdict(expected)
    assert configs[0].recipe == "synthetic"


def test_prints_the_error_of_unusable_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthetic.main(["--init", "missing", "--output", str(tmp_path)]) == 2
    assert "research.recipes.synthetic: checkpoint: expected a file" in capsys.readouterr().err


def test_trains_on_rendered_scenes(tmp_path: Path) -> None:
    flags = [
        "--init",
        write_tiny(tmp_path),
        "--preset",
        "",
        "--output",
        str(tmp_path / "run"),
        "--validation-images",
        "-1",
    ]
    sizes = "--steps 1 --early-steps 0 --batch-size 2 --widths 64 --pixels-per-image 64 --workers 0"
    assert synthetic.main([*flags, *sizes.split()]) == 0
    assert load_lseg(tmp_path / "run" / "final.safetensors").config == CONFIG
