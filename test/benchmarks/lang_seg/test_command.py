"""Tests of the command ``python -m benchmarks.lang_seg``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.lang_seg.__main__ import main
from test.support.tiny_network import write_tiny


def test_prints_the_comparison_and_writes_it_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "comparison.json"
    flags = ["--size", "96x64", "--labels", "6", "--seconds", "0.01", "--device", "cpu", "--precision", "float32"]
    flags += ["--checkpoint", write_tiny(tmp_path), "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.lang_seg", *flags])
    main()
    report = json.loads(file.read_text())
    assert report["comparison"]["max_delta"] < 1e-4 and report["comparison"]["agreement"] > 0.999
    assert report["settings"]["labels"] == "6"
    assert f"speedup {report['comparison']['speedup']:.2f}" in capsys.readouterr().out


def test_fails_with_a_message_if_a_size_is_invalid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.lang_seg", "--size", "640"])
    with pytest.raises(SystemExit):
        main()
    assert "size: expected WIDTHxHEIGHT" in capsys.readouterr().err
