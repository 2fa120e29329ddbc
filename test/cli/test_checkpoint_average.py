"""Tests of the command ``lseg checkpoint average``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lseg_ros.cli import main
from lseg_ros.cli.checkpoint.average import average_states
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.provenance import TrainingSet, provenance, read_training_data
from lseg_ros.model.weight_files import open_weights
from test.support.tiny_network import CONFIG


def write(path: Path, seed: int, *, half: bool = False, **changes: object) -> Path:
    torch.manual_seed(seed)
    model = LSeg(dataclasses.replace(CONFIG, **changes)).eval()  # type: ignore[arg-type]
    save_lseg(model, path, half=half, metadata={"step": str(seed), "validation": "{}"})
    return path


def test_averages_every_entry_and_records_the_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(tmp_path / f"{seed}.safetensors", seed) for seed in range(3)]
    out = tmp_path / "new" / "mean.safetensors"
    assert main(["checkpoint", "average", *map(str, files), "--out", str(out)]) == 0
    models = [load_lseg(file).state_dict() for file in files]
    for name, value in load_lseg(out).state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.stack([model[name] for model in models]).mean(dim=0))
    metadata = open_weights(out).metadata
    assert metadata["step"] == "0"
    assert "validation" not in metadata
    assert json.loads(metadata["sources"]) == [
        {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for file in files
    ]
    assert hashlib.sha256(out.read_bytes()).hexdigest() in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_merges_licenses_and_training_data(tmp_path: Path) -> None:
    sets = (TrainingSet("streets", 0.75, "CC-BY-4.0"), TrainingSet("synthetic", 0.25))
    files = []
    for seed, license in enumerate(("CC-BY-4.0", "MIT")):
        files.append(str(tmp_path / f"{seed}.safetensors"))
        save_lseg(LSeg(CONFIG).eval(), files[-1], metadata=provenance(sets[seed:], license, {}))
    out = tmp_path / "mean.safetensors"
    assert main(["checkpoint", "average", *files, "--out", str(out)]) == 0
    metadata = open_weights(out).metadata
    assert metadata["license"] == "CC-BY-4.0 AND MIT"
    assert read_training_data(metadata) == sets


def test_writes_the_types_of_the_first_file(tmp_path: Path) -> None:
    half, full = write(tmp_path / "half.safetensors", 0, half=True), write(tmp_path / "full.safetensors", 1)
    for sources, dtype in (((half, full), torch.float16), ((full, half), torch.float32)):
        out = tmp_path / "mean.safetensors"
        assert main(["checkpoint", "average", *map(str, sources), "--out", str(out)]) == 0
        assert load_lseg(out, dtype=None).head.weight.dtype == dtype


def test_can_overwrite_one_of_its_sources(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.safetensors", 0), write(tmp_path / "other.safetensors", 1)
    expected = (load_lseg(one).head.weight.clone() + load_lseg(other).head.weight.clone()) / 2
    assert main(["checkpoint", "average", str(one), str(other), "--out", str(one)]) == 0
    torch.testing.assert_close(load_lseg(one).head.weight, expected)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {"features": 8}, "other.safetensors: scratch.head1.weight: expected shape"),
        ({"depth": 5}, {}, "got no pretrained.model.blocks.4.attn.proj.bias"),
        ({}, {"depth": 5}, "got the additional pretrained.model.blocks.4.attn.proj.bias"),
        ({}, {"input_size_px": 128}, "other.safetensors: input_size_px: expected 96, as in "),
    ],
)
def test_rejects_files_of_different_architectures(
    first: dict[str, object],
    second: dict[str, object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = write(tmp_path / "one.safetensors", 0, **first)  # type: ignore[arg-type]
    other = write(tmp_path / "other.safetensors", 1, **second)  # type: ignore[arg-type]
    assert main(["checkpoint", "average", str(one), str(other), "--out", str(tmp_path / "mean.safetensors")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mean.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--out", "mean.safetensors"], "expected at least two checkpoints to average, got 1"),
        (["demo", "demo"], "out: expected a file name that ends with .safetensors, got ''"),
        (["demo", "nowhere", "--out", "mean.safetensors"], "expected a file or one of the presets"),
    ],
)
def test_rejects_unusable_arguments(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["checkpoint", "average", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_file_has_a_larger_weight(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.safetensors", 0), write(tmp_path / "other.safetensors", 1)
    out = tmp_path / "mean.safetensors"
    assert main(["checkpoint", "average", str(one), str(one), str(one), str(other), "--out", str(out)]) == 0
    expected = 0.75 * load_lseg(one).head.weight + 0.25 * load_lseg(other).head.weight
    torch.testing.assert_close(load_lseg(out).head.weight, expected)


def test_computes_the_mean_in_float32() -> None:
    states = [(name, {"weight": torch.full((2,), 60_000.0).half()}) for name in ("a", "b", "c")]
    assert average_states(states)["weight"].tolist() == [60_000.0] * 2  # the sum overflows float16


def test_requires_integer_entries_to_agree() -> None:
    def states(name: str) -> list[tuple[str, dict[str, Tensor]]]:
        return [("a", {name: torch.tensor(1)}), ("b.ckpt", {name: torch.tensor(2)})]

    with pytest.raises(ValueError, match=r"^b\.ckpt: positions: expected the integers of a, got different ones$"):
        average_states(states("positions"))
    assert average_states(states("norm.num_batches_tracked"))["norm.num_batches_tracked"] == 1
