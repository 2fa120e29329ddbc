"""Tests of the command ``lseg benchmark``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lseg_ros.benchmark import BenchmarkConfig
from lseg_ros.cli import main
from test.support.tiny_network import write_tiny

QUICK = ["--size", "96x64", "--frame", "96x64", "--labels", "6", "--seconds", "0.01", "--device", "cpu"]
EXACT = ["--precision", "float32"]
STAGES = [
    "preprocess", "backbone", "reassemble", "fusion", "head", "correlate", "upsample, arg max, confidence",
    "network, image on the device", "text encoder, 20 labels", "20 new labels until usable", "pipeline, RGB-D frame",
]  # fmt: skip
LAYERS = ("backbone", "reassemble", "fusion", "head", "correlate", "upsample, arg max, confidence")


def test_prints_every_stage_and_writes_the_report_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "speed.json"
    checkpoint = write_tiny(tmp_path)
    assert main(["benchmark", *QUICK, *EXACT, "--checkpoint", checkpoint, "--sweep", "all", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(file.read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == STAGES
    assert all(name in printed for name in STAGES) and "bound ms" in printed
    for row in rows.values():
        assert 0 < row["timing"]["p10_ms"] <= row["timing"]["median_ms"] <= row["timing"]["p90_ms"]
    whole = rows["network, image on the device"]
    for figure in ("flop", "bytes", "lower_bound_ms"):
        assert whole[figure] == pytest.approx(sum(rows[name][figure] for name in LAYERS))
    backbone = rows["backbone"]
    assert backbone["ratio"] == backbone["timing"]["median_ms"] / backbone["lower_bound_ms"]
    assert report["machine"]["date"] and report["machine"]["threads"]
    assert [point["name"] for point in report["label_scaling"]] == ["5", "20", "60", "150", "254"]
    assert len(report["size_scaling"]) >= 3 and "to the power of" in printed
    assert report["settings"]["architecture"] == "custom" and report["settings"]["device type"] == "cpu"
    assert set(report["pipeline_ms"]) == {"network", "labels", "points", "clouds"}


@pytest.mark.parametrize("size", ["640", "640x", "x480", "640*480", "32x480", "640x5000", ""])
def test_rejects_an_invalid_size(size: str) -> None:
    with pytest.raises(ValueError, match="size: expected WIDTHxHEIGHT such as 640x480, each from 64 to 4096 px, got"):
        BenchmarkConfig(size=size)


def test_reads_sizes_as_width_and_height() -> None:
    config = BenchmarkConfig(size="640x480", frame="1280x720")
    assert config.image_size == (480, 640)
    assert config.frame_size == (720, 1280)
