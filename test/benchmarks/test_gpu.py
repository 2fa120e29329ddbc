"""Tests of ``make gpu`` on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.checks import Checklist
from benchmarks.targets import applicable_targets


def test_checks_and_measures_on_a_cpu(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "gpu.json"
    flags = ["--checkpoint", checkpoint, "--size", "96x64", "--frame", "128x96", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--device", "cpu", *flags, "--json", str(file)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    report, printed = json.loads(file.read_text()), capsys.readouterr().out
    checks = {check["name"]: (check["result"], check["reason"]) for check in report["checks"]}
    assert checks["Triton kernel equals PyTorch on the device"] == ("skipped", "needs a GPU")
    assert checks["demo in float32 on cpu gives the labels of the CPU"] == ("passed", "")
    assert checks[f"measure {checkpoint} in float32"] == ("passed", "")
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert all(figure["predicted"] is not None for figure in figures.values())
    for name in ("network, image on the device, 254 labels", "pipeline, RGB-D frame 128x96, 150 labels"):
        assert figures[name]["timing"]["runs"] >= 3
        assert name in printed
    assert any(target["figure"] == "label scaling" for target, _ in applicable_targets(report))


def test_a_failed_check_stops_nothing_but_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    checklist = Checklist(deadline_s=60.0)
    with checklist.part("broken") as runs:
        assert runs
        raise RuntimeError("an illegal memory access was encountered")
    with checklist.part("sound"):
        pass
    assert [(check.name, check.result) for check in checklist.checks] == [("broken", "failed"), ("sound", "passed")]
    assert "failed  broken: RuntimeError: an illegal memory access was encountered" in capsys.readouterr().out


def test_nothing_begins_after_the_deadline() -> None:
    checklist = Checklist(deadline_s=-1.0)
    with checklist.part("late") as runs:
        assert not runs
    assert [check.result for check in checklist.checks] == ["skipped"]


def test_an_invalid_size_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--frame", "640"])
    with pytest.raises(SystemExit):
        main()
    assert "frame: expected WIDTHxHEIGHT" in capsys.readouterr().err
