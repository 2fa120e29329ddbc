"""An interrupted evaluation continues from its saved counts."""

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


def _interrupt_after(path: Path, samples: list[int], process: Process | None = None) -> None:
    """Count some samples, then stop without finishing the evaluation."""
    counts = {"sum": torch.zeros(1, dtype=torch.int64)}
    checkpoint = EvaluationCheckpoint(path, "digest", 6, counts, process or Process(), save_every_s=0)
    for sample in samples:
        assert sample in checkpoint.remaining
        counts["sum"] += sample
        checkpoint.mark_done(sample)


def _start(path: Path, digest: str = "digest", resume: bool = True) -> tuple[EvaluationCheckpoint, int]:
    counts = {"sum": torch.zeros(1, dtype=torch.int64)}
    checkpoint = EvaluationCheckpoint(path, digest, 6, counts, Process(), resume=resume)
    return checkpoint, int(counts["sum"])


def test_restart_continues_from_the_saved_counts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json.partial"
    _interrupt_after(path, [0, 1, 2])
    _interrupt_after(path, [3])
    checkpoint, total = _start(path)
    assert (checkpoint.resumed, checkpoint.remaining, total) == (4, [4, 5], 6)
    checkpoint.remove()
    assert not list(path.parent.iterdir())


def test_one_process_continues_from_the_counts_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "wait_for_all", lambda self: None)
    path = tmp_path / "partial"
    _interrupt_after(path, [0, 2], Process(0, 2))
    _interrupt_after(path, [3], Process(1, 2))
    checkpoint, total = _start(path)
    assert (checkpoint.resumed, checkpoint.remaining, total) == (3, [1, 4, 5], 5)
    assert [file.name for file in tmp_path.iterdir()] == ["partial.0"]


def test_counts_a_sample_once_if_it_is_in_two_files(tmp_path: Path) -> None:
    """A process may stop after it saved the merged counts and before it removed other files."""
    path = tmp_path / "partial"
    _interrupt_after(path, [0, 1])
    (tmp_path / "partial.1").write_bytes((tmp_path / "partial.0").read_bytes())
    checkpoint, total = _start(path)
    assert (checkpoint.resumed, total) == (2, 1)


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04 half a file", b"something else"])
def test_removes_unreadable_files_with_a_warning(
    tmp_path: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "partial"
    (tmp_path / "partial.0").write_bytes(broken)
    (tmp_path / "partial.0.writing").write_bytes(broken)
    with caplog.at_level(logging.WARNING):
        checkpoint, total = _start(path)
    assert (checkpoint.resumed, total, checkpoint.remaining) == (0, 0, [0, 1, 2, 3, 4, 5])
    assert "partial.0: partial counts not used" in caplog.text
    assert not list(tmp_path.iterdir())


def test_ignores_counts_of_another_evaluation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "partial"
    _interrupt_after(path, [0, 1, 2])
    with caplog.at_level(logging.WARNING):
        assert _start(path, "another")[0].resumed == 0
    assert "they belong to other settings or another data set" in caplog.text


def test_starts_from_scratch_without_resume(tmp_path: Path) -> None:
    path = tmp_path / "partial"
    _interrupt_after(path, [0, 1, 2])
    checkpoint, total = _start(path, resume=False)
    assert (checkpoint.resumed, total, len(checkpoint.remaining)) == (0, 0, 6)
    assert not list(tmp_path.iterdir())


def test_killed_evaluation_resumes_with_the_same_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ["evaluate", "--checkpoint", write_tiny(tmp_path), "--device", "cpu"]
    arguments += ["--frames", "40", "--width", "64", "--height", "48", "--json"]
    file, partial = tmp_path / "killed.json", tmp_path / "killed.json.partial.0"
    killed = subprocess.Popen([sys.executable, "-m", "lseg_ros.cli", *arguments, str(file), "--save-every-s", "0"])
    while not partial.exists() or _done(partial) < 3:
        assert killed.poll() is None, "the evaluation finished before it was killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = _done(partial)
    assert 3 <= before < 40
    with caplog.at_level(logging.INFO):
        assert main([*arguments, str(file)]) == 0
    assert f"resuming: {before} of 40 samples" in caplog.text
    assert main([*arguments, str(tmp_path / "whole.json")]) == 0
    interrupted, whole = (json.loads(output.read_text()) for output in (file, tmp_path / "whole.json"))
    for scores in ("miou", "pixel_accuracy", "per_class", "samples"):
        assert interrupted[scores] == whole[scores]
    assert not list(tmp_path.glob("*.partial*"))


def _done(partial: Path) -> int:
    with np.load(partial) as content:
        return int(content["done"].sum())
