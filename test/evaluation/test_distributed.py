"""Several processes share one evaluation when torchrun starts them."""

import json
from pathlib import Path

import pytest

from lseg_ros.cli import main
from lseg_ros.evaluation.distributed import Process
from test.support.tiny_network import write_tiny
from test.support.torchrun import run_in_two_processes


def test_two_processes_return_the_scores_of_one_and_print_one_table(tmp_path: Path) -> None:
    arguments = ["evaluate", "--checkpoint", write_tiny(tmp_path), "--device", "cpu"]
    arguments += ["--frames", "5", "--width", "64", "--height", "48", "--json"]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main([*arguments, str(one)]) == 0
    started = run_in_two_processes("lseg_ros.cli", [*arguments, str(two), "--picture", str(tmp_path / "two.png")])
    alone, together = (json.loads(file.read_text()) for file in (one, two))
    for scores in ("miou", "pixel_accuracy", "per_class", "samples"):
        assert together[scores] == alone[scores]
    assert started.stdout.count("mean IoU") == 1
    assert (tmp_path / "two.png").stat().st_size
    assert not list(tmp_path.glob("*.partial*"))


def test_each_process_uses_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Process(3, 4).device("auto") == "cuda:1"
    assert Process(3, 4).device("cpu") == "cpu"
    assert Process(0, 1).device("auto") == "auto"
