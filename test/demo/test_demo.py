"""Tests of the demo, started as `make demo` starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lseg_ros.demo.processes import choose_free_domain

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "lseg_ros" / "model" / "weights" / "demo.safetensors"


def run_demo(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lseg_ros.demo.demo", "--out", str(out), "--seconds", "4", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=220, check=False)


@pytest.mark.timeout(240)  # four processes in turn, and the recording plays for 8.3 s
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the demo weights are missing")
def test_prints_scores_before_and_after_a_change_of_labels_and_draws_both_cameras(tmp_path: Path) -> None:
    done = run_demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ros2 param set /lseg labels" in done.stdout and "mean IoU" in done.stdout
    for name in ("demo.png", "demo_desk.png"):
        picture = cv2.imread(str(tmp_path / name))
        assert picture is not None and min(picture.shape[:2]) > 600
        height, width = picture.shape[:2]
        clouds = picture[height // 2 + 40 :, width // 2 :]
        assert np.ptp(clouds, axis=-1).max() > 100  # points have the saturated colors of their labels


def test_sigterm_also_ends_the_child_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lseg_ros.demo.demo", "--live", "--out", str(tmp_path)]
    environment = os.environ | {"ROS_DOMAIN_ID": str(choose_free_domain())}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any("until Ctrl-C" in line for line in demo.stdout)
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert len(children) == 2
        demo.terminate()
        assert demo.wait(60) == 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_fails_with_a_message_if_the_node_cannot_start(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--checkpoint", str(tmp_path / "nothing.ckpt"))
    assert done.returncode == 1
    assert "nothing.ckpt" in done.stdout and "Traceback" not in done.stdout + done.stderr
