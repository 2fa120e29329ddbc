"""Several processes share one evaluation, started as torchrun starts them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lseg_ros.cli import main
from lseg_ros.evaluation.distributed import Process
from test.support.tiny_network import write_tiny


def test_two_processes_score_as_one_does_and_only_one_talks(tmp_path: Path) -> None:
    words = ["evaluate", "--checkpoint", write_tiny(tmp_path), "--device", "cpu", "--no-color-baseline"]
    words += ["--frames", "5", "--width", "64", "--height", "48", "--json"]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main([*words, str(one)]) == 0
    started = _in_two_processes([*words, str(two), "--picture", str(tmp_path / "two.png")])
    alone, together = (json.loads(file.read_text()) for file in (one, two))
    for scores in ("miou", "pixel_accuracy", "per_class", "samples"):
        assert together[scores] == alone[scores]
    assert started.stdout.count("mean IoU") == 1
    assert (tmp_path / "two.png").stat().st_size
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("suite", ["attributes", "zero-shot"])  # of the package's network, and of those compared
def test_two_processes_ask_a_suite_as_one_does(suite: str, tmp_path: Path) -> None:
    words = ["evaluate", "--suite", suite, "--device", "cpu", "--seed", "3", "--frames", "5", "--json"]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main([*words, str(one)]) == 0
    started = _in_two_processes([*words, str(two)])
    alone, together = (json.loads(file.read_text()) for file in (one, two))
    for scores in ("figures", "per_word", "scenes"):
        assert together[scores] == pytest.approx(alone[scores], abs=1e-6, nan_ok=True)
    assert started.stdout.count("mean IoU") == sum("mean IoU" in name for name in alone["figures"])


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Process(3, 4).device("auto") == "cuda:1"
    assert Process(3, 4).device("cpu") == "cpu"
    assert Process(0, 1).device("auto") == "auto"


def _in_two_processes(words: list[str]) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(_free_port())]
    started = subprocess.run(
        [sys.executable, *launcher, "-m", "lseg_ros.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=100,
    )
    assert started.returncode == 0, started.stderr
    return started


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
