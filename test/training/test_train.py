"""Whole training runs: they learn, and write weights that load."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors import safe_open

from lseg_ros.model import load_lseg
from lseg_ros.model.key_mapping import expected_entries
from lseg_ros.training import train as train_module
from lseg_ros.training.config import RECIPES, TrainingConfig
from lseg_ros.training.train import train
from test.support.dataset_trees import write_image, write_mask, write_text
from test.support.small_run import changed, read_weights, small_run
from test.support.tiny_network import CONFIG

ROOT = Path(__file__).resolve().parents[2]


def read_log(config: TrainingConfig) -> list[dict[str, str]]:
    return list(csv.DictReader((Path(config.output) / "log" / "version_0" / "metrics.csv").open()))


def test_learns_and_writes_weights_pictures_and_a_log(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=24, batch_size=4, validate_every=12, log_every=1, learning_rate=2e-3)
    path = train(config)
    losses = [float(row["loss"]) for row in read_log(config) if row["loss"]]
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])
    scores = [float(row["miou"]) for row in read_log(config) if row["miou"]]
    assert len(scores) == 2
    assert scores[-1] > 0.6
    for file in (path, tmp_path / "run" / "best.safetensors"):
        assert load_lseg(file).config == CONFIG
        with safe_open(file, framework="pt") as weights:
            metadata, keys = weights.metadata(), set(weights.keys())
        assert keys == set(expected_entries(CONFIG))
        assert json.loads(metadata["training"])["data"]["dataset"] == "folder"
        assert json.loads(metadata["classes"]) == ["ball|sphere", "lawn", "sea"]
        assert json.loads(metadata["validation"])["miou"] > 0.6
        assert [item["share"] for item in json.loads(metadata["training_data"])] == [1.0]
    picture = cv2.imread(str(tmp_path / "run" / "pictures" / "0" / "step_0000024.png"))
    assert picture is not None
    assert picture.shape == (72 + 28, 3 * 64 + 2 * 8, 3)
    assert list((tmp_path / "run" / "tensorboard" / "version_0").iterdir())


def test_does_not_train_the_text_encoder(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=2)
    before, after = load_lseg(config.initialization.init), load_lseg(train(config))
    pairs = list(zip(before.text_encoder.state_dict().values(), after.text_encoder.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(before.head.weight, after.head.weight)


def test_rejects_an_empty_label_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_run(tmp_path)

    class Unlabeled:
        classes = ()

        def name(self, index: int) -> str:
            return f"image {index}"

    monkeypatch.setattr(train_module, "open_samples", lambda _: Unlabeled())
    with pytest.raises(ValueError, match="image 0: expected a label set with at least one label, got an empty one"):
        train(config)


def test_trains_and_scores_a_zero_shot_fold(tmp_path: Path) -> None:
    for number, category in enumerate(("cat", "dog", "cow")):
        write_image(tmp_path / "FSS-1000" / category / "1.jpg", 48, 40)
        write_mask(tmp_path / "FSS-1000" / category / "1.png", [[255] * 24 + [0] * 24] * 40)
        write_text(
            tmp_path / "splits" / "fss" / ("test.txt" if number == 2 else "trn.txt"), *["cat", "dog"][number:], "cow"
        )
    config = changed(small_run(tmp_path), dataset="fss_1000", root=str(tmp_path), steps=1, validate_every=0)
    train(config)
    assert 0 <= float(read_log(config)[-1]["fb_iou"]) <= 1


def test_two_processes_train_like_one_with_twice_the_batch_size(tmp_path: Path) -> None:
    """This requires labels for all pixels, complete prompts, and frozen batch normalization."""
    settings: dict[str, Any] = {
        "steps": 2, "batch_norm": "frozen", "complete_share": 1.0, "base_size": 0, "pictures": 0,
    }  # fmt: skip
    config = small_run(tmp_path, batch_size=4, **settings, optimization=RECIPES["lseg"].optimization)
    single = train(changed(config, learning_rate_batch=0, learning_rate=0.05))
    flags = f"""--dataset folder --root {tmp_path}/data --init {config.initialization.init} --recipe lseg --preset=
        --epochs 0 --steps 2 --batch-size 2 --accumulate 1 --batch-norm frozen --base-size 0 --crop 64
        --color-jitter 0.2 --padding mean --no-loss-at-full-resolution --learning-rate 0.05 --learning-rate-batch 0
        --pictures 0 --workers 0 --threads 1 --validate-every 2 --devices 2 --accelerator cpu --output {tmp_path}/two"""
    done = subprocess.run(
        [sys.executable, "-m", "lseg_ros.cli", "train", *flags.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    one, two = read_weights(single), read_weights(tmp_path / "two" / "final.safetensors")
    initial = read_weights(config.initialization.init)
    moved = {
        name: (one[name] - initial[name]).abs().max().item() for name in one if "text" not in name and one[name].ndim
    }
    assert max(moved.values()) > 1e-2
    for name in moved:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)


def test_warns_if_a_folder_has_no_val_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = small_run(tmp_path, steps=1, pictures=0)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind / "train").rename(tmp_path / kind)
        for file in (tmp_path / "data" / kind).rglob("*.png"):
            file.unlink()
        (tmp_path / "data" / kind / "val").rmdir()
        (tmp_path / kind).rename(tmp_path / "data" / kind / "all")
    train(config)
    assert "no val split found, the validation uses training images" in caplog.text


def test_a_run_without_validation_needs_no_val_split(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=1, validation_images=-1, log_every=1)
    (tmp_path / "data" / "images" / "val").rename(tmp_path / "elsewhere")
    assert load_lseg(train(config)).config == CONFIG
    assert "miou" not in read_log(config)[0]
