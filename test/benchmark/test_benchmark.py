"""``lseg benchmark`` from outside."""

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


def test_every_stage_is_told_to_people_and_to_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "speed.json"
    checkpoint = write_tiny(tmp_path)
    assert main(["benchmark", *QUICK, *EXACT, "--checkpoint", checkpoint, "--sweep", "all", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    told = json.loads(file.read_text())
    assert [row["name"] for row in told["rows"]] == STAGES
    assert all(name in printed for name in STAGES)
    assert all(
        0 < row["timing"]["p10_ms"] <= row["timing"]["median_ms"] <= row["timing"]["p90_ms"] for row in told["rows"]
    )
    rows = {row["name"]: row for row in told["rows"]}
    layers = ("backbone", "reassemble", "fusion", "head", "correlate", "upsample, arg max, confidence")
    whole = rows["network, image on the device"]
    for figure in ("flop", "bytes", "needed_ms"):
        assert whole[figure] == pytest.approx(sum(rows[name][figure] for name in layers))
    assert rows["backbone"]["ratio"] == rows["backbone"]["timing"]["median_ms"] / rows["backbone"]["needed_ms"]
    assert told["machine"]["date"] and told["machine"]["threads"]
    assert [scaling["what"] for scaling in told["label_scaling"]] == ["5", "20", "60", "150", "254"]
    assert len(told["size_scaling"]) >= 3 and "to the power of" in printed
    assert told["settings"]["architecture"] == "custom" and told["settings"]["device type"] == "cpu"
    assert set(told["pipeline_ms"]) == {"network", "labels", "points", "clouds"}


@pytest.mark.parametrize("size", ["640", "640x", "x480", "640*480", "32x480", "640x5000", ""])
def test_a_size_that_is_none_is_refused_in_a_sentence(size: str) -> None:
    with pytest.raises(ValueError, match="size: expected WIDTHxHEIGHT such as 640x480, each from 64 to 4096 px, got"):
        BenchmarkConfig(size=size)


def test_sizes_are_read_as_width_and_height() -> None:
    config = BenchmarkConfig(size="640x480", frame="1280x720")
    assert config.image_size == (480, 640)
    assert config.frame_size == (720, 1280)
