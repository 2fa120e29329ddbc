"""What is counted survives an interruption: between processes that are killed, and in the files themselves."""

import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lseg_ros.cli import main
from lseg_ros.evaluation.checkpoint import EvaluationCheckpoint
from lseg_ros.evaluation.distributed import Process
from test.support.tiny_network import write_tiny


def _counted(path: Path, samples: list[int], process: Process | None = None) -> None:
    """Count the numbers of some samples, and be interrupted."""
    counts = {"sum": torch.zeros(1, dtype=torch.int64)}
    partial = EvaluationCheckpoint(path, "digest", 6, counts, process or Process(), every_s=0)
    for sample in samples:
        assert sample in partial.remaining
        counts["sum"] += sample
        partial.mark_done(sample)


def _start(path: Path, digest: str = "digest", resume: bool = True) -> tuple[EvaluationCheckpoint, int]:
    counts = {"sum": torch.zeros(1, dtype=torch.int64)}
    partial = EvaluationCheckpoint(path, digest, 6, counts, Process(), resume=resume)
    return partial, int(counts["sum"])


def test_a_second_start_takes_over_what_the_first_counted(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json.partial"
    _counted(path, [0, 1, 2])
    _counted(path, [3])
    partial, total = _start(path)
    assert (partial.resumed, partial.remaining, total) == (4, [4, 5], 6)
    partial.remove()
    assert not list(path.parent.iterdir())


def test_one_process_takes_over_what_several_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "wait_for_all", lambda self: None)
    path = tmp_path / "partial"
    _counted(path, [0, 2], Process(0, 2))
    _counted(path, [3], Process(1, 2))
    partial, total = _start(path)
    assert (partial.resumed, partial.remaining, total) == (3, [1, 4, 5], 5)
    assert [file.name for file in tmp_path.iterdir()] == ["partial.0"]


def test_samples_that_are_in_two_files_count_once(tmp_path: Path) -> None:
    """A stop right between writing what was merged and removing the rest."""
    path = tmp_path / "partial"
    _counted(path, [0, 1])
    (tmp_path / "partial.1").write_bytes((tmp_path / "partial.0").read_bytes())
    partial, total = _start(path)
    assert (partial.resumed, total) == (2, 1)


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04 half a file", b"something else"])
def test_counts_that_cannot_be_used_are_named_and_removed(
    tmp_path: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "partial"
    (tmp_path / "partial.0").write_bytes(broken)
    (tmp_path / "partial.0.writing").write_bytes(broken)
    with caplog.at_level(logging.WARNING):
        partial, total = _start(path)
    assert (partial.resumed, total, partial.remaining) == (0, 0, [0, 1, 2, 3, 4, 5])
    assert "partial.0: partial counts not used" in caplog.text
    assert not list(tmp_path.iterdir())


def test_counts_of_other_settings_are_not_taken_for_these(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "partial"
    _counted(path, [0, 1, 2])
    with caplog.at_level(logging.WARNING):
        assert _start(path, "another")[0].resumed == 0
    assert "they belong to other settings or another data set" in caplog.text


def test_who_wants_to_start_afresh_does(tmp_path: Path) -> None:
    path = tmp_path / "partial"
    _counted(path, [0, 1, 2])
    partial, total = _start(path, resume=False)
    assert (partial.resumed, total, len(partial.remaining)) == (0, 0, 6)
    assert not list(tmp_path.iterdir())


def test_a_killed_evaluation_goes_on_and_scores_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["evaluate", "--checkpoint", write_tiny(tmp_path), "--device", "cpu"]
    words += ["--frames", "40", "--width", "64", "--height", "48", "--json"]
    file, partial = tmp_path / "killed.json", tmp_path / "killed.json.partial.0"
    killed = subprocess.Popen([sys.executable, "-m", "lseg_ros.cli", *words, str(file), "--save-every-s", "0"])
    while not partial.exists() or _done(partial) < 3:
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = _done(partial)
    assert 3 <= before < 40
    with caplog.at_level(logging.INFO):
        assert main([*words, str(file)]) == 0
    assert f"going on after {before} of 40 samples" in caplog.text
    assert main([*words, str(tmp_path / "whole.json")]) == 0
    interrupted, whole = (json.loads(each.read_text()) for each in (file, tmp_path / "whole.json"))
    for scores in ("miou", "pixel_accuracy", "per_class", "samples"):
        assert interrupted[scores] == whole[scores]
    assert not list(tmp_path.glob("*.partial*"))


def _done(partial: Path) -> int:
    with np.load(partial) as content:
        return int(content["done"].sum())
