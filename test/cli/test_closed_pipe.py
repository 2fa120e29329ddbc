"""``lseg ... | head``: the command ends quietly when its output pipe is closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

LABELS = [f"thing number {number}" for number in range(200)]  # more than a pipe buffers


def run_with_reader(*arguments: str, lines: int, unbuffered: bool = False) -> tuple[list[str], int, str]:
    """Run ``lseg`` with a reader that takes some lines of its output and then closes the pipe.

    Returns:
        The lines, the exit status of lseg, and what it wrote to stderr.
    """
    environment = dict(os.environ) | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    command = [sys.executable, "-m", "lseg_ros.cli", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        read = [process.stdout.readline() for _ in range(lines)]
        process.stdout.close()
        errors = process.stderr.read()
        return read, process.wait(), errors


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        (["--help"], False),
        (["labels", "--help"], False),
        (["labels", "floor"], False),  # fails when the output is flushed
        (["labels", "floor"], True),  # fails in print
        (["labels", *LABELS], False),
    ],
    ids=["overview", "help", "flush", "print", "long"],
)
def test_ends_quietly_when_the_pipe_is_closed_at_once(arguments: list[str], unbuffered: bool) -> None:
    assert run_with_reader(*arguments, lines=0, unbuffered=unbuffered) == ([], 141, "")


def test_head_gets_its_line() -> None:
    read, status, errors = run_with_reader("labels", *LABELS, lines=1)
    assert "thing number 0" in read[0]
    assert status in (0, 141)  # 0 if the pipe took everything before it was closed
    assert errors == ""


def test_segment_stops_at_the_first_line_after_the_pipe_is_closed(tmp_path: Path, checkpoint: str) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
    words = ["--labels", "floor", "wall", "--checkpoint", checkpoint, "--device", "cpu"]
    arguments = ["segment", str(tmp_path), *words, "--out", str(tmp_path / "out")]
    _, status, errors = run_with_reader(*arguments, lines=0, unbuffered=True)
    assert status == 141
    assert len(errors.splitlines()) == 1  # the log line that names the checkpoint and the device
    assert errors.startswith(checkpoint)
    assert not (tmp_path / "out" / "2_mask.png").exists()


def test_a_command_whose_output_is_read_to_the_end_succeeds() -> None:
    read, status, errors = run_with_reader("labels", "floor", lines=1)
    assert (len(read), status, errors) == (1, 0, "")


def test_an_error_keeps_its_message_and_status() -> None:
    _, status, errors = run_with_reader("segment", "nowhere.png", "--labels", "floor", lines=0)
    assert status == 2
    assert errors.startswith("lseg segment: nowhere.png: expected a file or folder")
