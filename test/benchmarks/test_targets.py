"""Targets apply only to the measurements they are defined for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.targets import applicable_targets, collect_figures, format_targets, is_met, load_targets, main
from lseg_ros.benchmark.stages import NETWORK, PIPELINE, VOCABULARY

H200 = {
    "device": "NVIDIA H200", "threads": "16", "architecture": "vitl16", "device type": "cuda",
    "precision": "bfloat16", "size": "480x480", "frame": "640x480", "labels": "150",
}  # fmt: skip
TWO_CORES = H200 | {"device": "a CPU", "threads": "2", "device type": "cpu", "precision": "float32"}


def make_report(facts: dict[str, str]) -> dict[str, Any]:
    """A report with every figure of ``lseg benchmark`` and of the comparison."""
    timing = {"median_ms": 3.0}
    machine = {name: facts[name] for name in ("device", "threads")}
    return {
        "machine": machine,
        "settings": {name: text for name, text in facts.items() if name not in machine},
        "rows": [{"name": name, "timing": timing} for name in (NETWORK, PIPELINE, VOCABULARY)],
        "memory_mib": {"GPU memory peak": 1500.0},
        "label_scaling": [{"timing": timing}, {"timing": {"median_ms": 3.3}}],
        "comparison": {"speedup": 3.0, "agreement": 0.999},
    }


def names(facts: dict[str, str]) -> list[str]:
    return [target["name"] for target, _ in applicable_targets(make_report(facts))]


def test_limits_are_inclusive() -> None:
    assert is_met({"at_most": 2.5}, 2.5) and not is_met({"at_most": 2.5}, 2.6)
    assert is_met({"at_least": 12}, 12.0) and not is_met({"at_least": 12}, 11.9)


def test_every_target_has_one_limit_and_a_known_figure() -> None:
    ros = {
        "frames": {"node": {"median_ms": 14.0}, "speedup": 20.0},
        "skipped": {"percent": 1.0},
        "latency": {"ready_s": 5.0, "rate_hz": 9.0, "p95_ms": 60.0, "pipeline_ms": 50.0},
    }
    figures = collect_figures(make_report(H200) | ros)
    for target in load_targets():
        assert ("at_most" in target) != ("at_least" in target)
        assert target["figure"] in figures
        assert set(target.get("when", {})) <= set(H200)


def test_formats_value_limit_and_verdict() -> None:
    report = make_report(H200)
    report["rows"][0]["timing"] = {"median_ms": 2.31}
    line = format_targets(report).splitlines()[0]
    assert line == "image on the device to mask and confidence: 2.31 ms, at most 2.5 ms: met"


def test_all_gpu_targets_apply_on_an_h200() -> None:
    assert len(names(H200)) == 6


@pytest.mark.parametrize(
    "change", [{"size": "640x480"}, {"precision": "float16"}, {"device": "another GPU"}, {"labels": "20"}]
)
def test_gpu_targets_do_not_apply_to_another_size_precision_or_gpu(change: dict[str, str]) -> None:
    assert names(H200 | change) == ["extra time of 254 labels compared with 5, GPU"]


def test_the_pipeline_target_applies_only_to_its_frame_size() -> None:
    assert any("RGB-D frame" in name for name in names(H200))
    assert not any("RGB-D frame" in name for name in names(H200 | {"frame": "320x240"}))


def test_the_speedup_targets_on_two_cores_depend_on_the_number_of_labels() -> None:
    assert names(TWO_CORES)[0] == "speedup over the authors' order of operations, 150 labels"
    five_labels = applicable_targets(make_report(TWO_CORES | {"labels": "5"}))
    assert five_labels[0][0]["at_least"] == 1.8
    assert names(TWO_CORES | {"threads": "8"}) == ["extra time of 254 labels compared with 5, CPU"]


def test_targets_without_a_measured_figure_do_not_apply() -> None:
    report = make_report(H200)
    del report["rows"], report["comparison"], report["label_scaling"], report["memory_mib"]
    assert applicable_targets(report) == []


def test_the_command_prints_the_targets_of_each_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "speed.json", tmp_path / "empty.json"]
    for file, report in zip(files, (make_report(H200), {})):
        file.write_text(json.dumps(report))
    monkeypatch.setattr(sys, "argv", ["targets", *map(str, files)])
    main()
    printed = capsys.readouterr().out
    assert "peak GPU memory: 1.57 GB, at most 1.7 GB: met" in printed
    assert printed.endswith(f"{files[1]}:\nno target applies\n")
