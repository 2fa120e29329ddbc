"""A training run from outside: it learns, it goes on where it was stopped, it leaves weights that load."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from safetensors import safe_open

from lseg_ros.cli.flags import parse
from lseg_ros.cli.train import SETTINGS
from lseg_ros.model import LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.key_mapping import expected_entries
from lseg_ros.training import train as train_module
from lseg_ros.training import trainer as trainer_module
from lseg_ros.training.config import RECIPES, TrainingConfig
from lseg_ros.training.optimization import OptimizationConfig
from lseg_ros.training.train import train
from lseg_ros.training.trainer import GracefulStop
from test.support.dataset_trees import write_image, write_mask, write_text
from test.support.small_run import changed, small_run
from test.support.tiny_network import CONFIG

ROOT = Path(__file__).resolve().parents[2]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_lseg(path).state_dict())


def same(one: Path, other: Path) -> bool:
    mine, others = weights(one), weights(other)
    return all(torch.equal(value, others[name]) for name, value in mine.items())


def log_of(config: TrainingConfig) -> list[dict[str, str]]:
    return list(csv.DictReader((Path(config.output) / "log" / "version_0" / "metrics.csv").open()))


def test_it_learns_and_leaves_weights_pictures_and_a_log(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=24, batch_size=4, validate_every=12, log_every=1, learning_rate=2e-3)
    path = train(config)
    losses = [float(row["loss"]) for row in log_of(config) if row["loss"]]
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])
    scores = [float(row["miou"]) for row in log_of(config) if row["miou"]]
    assert len(scores) == 2
    assert scores[-1] > 0.6
    for name in (path, tmp_path / "run" / "best.safetensors"):
        assert load_lseg(name).config == CONFIG
        with safe_open(name, framework="pt") as file:
            facts, keys = file.metadata(), set(file.keys())
        assert keys == set(expected_entries(CONFIG))
        assert json.loads(facts["training"])["data"]["dataset"] == "folder"
        assert json.loads(facts["classes"]) == ["ball|sphere", "lawn", "sea"]
        assert json.loads(facts["validation"])["miou"] > 0.6
    picture = cv2.imread(str(tmp_path / "run" / "pictures" / "0" / "step_0000024.png"))
    assert picture.shape == (72 + 28, 3 * 64 + 2 * 8, 3)
    assert list((tmp_path / "run" / "tensorboard" / "version_0").iterdir())


def test_the_text_tower_stays_as_it_was(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=2)
    before, after = load_lseg(config.initialization.init), load_lseg(train(config))
    pairs = list(zip(before.text_encoder.state_dict().values(), after.text_encoder.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(before.head.weight, after.head.weight)


@pytest.mark.parametrize(
    ("optimization", "pixels_per_image"),
    [
        (RECIPES["modern"].optimization, 0),
        (RECIPES["lseg"].optimization, 0),
        (OptimizationConfig(optimizer="muon", lr_schedule="trapezoid"), 4096),
    ],
)
def test_an_interrupted_run_ends_as_one_that_was_not(
    tmp_path: Path, optimization: OptimizationConfig, pixels_per_image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"steps": 6, "accumulate": 2, "validate_every": 4, "pictures": 0, "pixels_per_image": pixels_per_image}
    config = small_run(tmp_path, optimization=optimization, class_balance=0.5, **settings)
    whole = train(changed(config, output=str(tmp_path / "whole")))
    original, started = trainer_module.set_learning_rates, []

    def interrupting(*arguments: object) -> None:
        started.append(0)
        if len(started) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        if len(started) == 6:  # in the sixth step; the last checkpoint is that of the fourth
            raise RuntimeError("killed")
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer_module, "set_learning_rates", interrupting)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert len(started) == 3
    kept = load_lseg(tmp_path / "run" / "last.safetensors")
    assert not torch.equal(kept.head.weight, load_lseg(config.initialization.init).head.weight)
    assert not torch.equal(kept.head.weight, load_lseg(whole).head.weight)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(RuntimeError, match="killed"):
        train(config)
    assert same(train(config), whole)
    assert len(started) == 3 + 3 + 2


def test_a_finished_run_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_run(tmp_path, steps=2)
    before = weights(train(config))
    monkeypatch.setattr(trainer_module.Trainer, "_step", None)
    after = weights(train(config))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_run_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=2, pictures=0)
    train(config)
    with pytest.raises(ValueError, match=r"resume: expected .*last\.ckpt \(learning_rate was 0\.0001, is 0\.5\)"):
        train(changed(config, learning_rate=0.5))
    train(changed(config, learning_rate=0.5, resume=False))


def test_a_loss_that_is_not_finite_stops_the_run_with_the_names_of_the_samples(tmp_path: Path) -> None:
    model = LSeg(CONFIG)
    torch.nn.init.constant_(model.head.weight, torch.nan)
    save_lseg(model, tmp_path / "nan.safetensors")
    config = small_run(tmp_path, init=str(tmp_path / "nan.safetensors"))
    with pytest.raises(ValueError, match=r"loss: expected .*, got nan in step 0, of the samples .*\d\.png, .*\d\.png"):
        train(config)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_sample_stops_the_run_with_its_name(tmp_path: Path, workers: int) -> None:
    config = small_run(tmp_path, workers=workers, batch_size=8)
    (tmp_path / "data" / "images" / "train" / "5.png").write_text("no image")
    with pytest.raises(ValueError, match=r"^/.*images/train/5\.png: expected an image, got"):
        train(config)


def test_an_empty_label_set_is_a_sentence_that_names_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_run(tmp_path)

    class Wordless:
        classes = ()

        def name(self, index: int) -> str:
            return f"image {index}"

    monkeypatch.setattr(train_module, "open_samples", lambda _: Wordless())
    with pytest.raises(ValueError, match="image 0: expected words to ask for, got an empty label set"):
        train(config)


def test_a_zero_shot_fold_is_trained_and_scored_class_by_class(tmp_path: Path) -> None:
    for number, category in enumerate(("cat", "dog", "cow")):
        write_image(tmp_path / "FSS-1000" / category / "1.jpg", 48, 40)
        write_mask(tmp_path / "FSS-1000" / category / "1.png", [[255] * 24 + [0] * 24] * 40)
        write_text(
            tmp_path / "splits" / "fss" / ("test.txt" if number == 2 else "trn.txt"), *["cat", "dog"][number:], "cow"
        )
    config = changed(small_run(tmp_path), dataset="fss_1000", root=str(tmp_path), steps=1, validate_every=0)
    train(config)
    assert 0 <= float(log_of(config)[-1]["fb_iou"]) <= 1


def test_two_processes_do_what_one_does_with_batches_twice_as_large(tmp_path: Path) -> None:
    """Where it must hold: every pixel known, every word asked, norms that do not look at the batch."""
    settings = {"steps": 2, "batch_norm": "frozen", "complete_share": 1.0, "base_size": 0, "pictures": 0}
    config = small_run(tmp_path, batch_size=4, **settings, optimization=RECIPES["lseg"].optimization)
    alone = train(changed(config, learning_rate_batch=0, learning_rate=0.05))
    flags = f"""--dataset folder --root {tmp_path}/data --init {config.initialization.init} --recipe lseg --preset=
        --epochs 0 --steps 2 --batch-size 2 --accumulate 1 --batch-norm frozen --base-size 0 --crop 64
        --color-jitter 0.2 --padding mean --no-loss-at-full-resolution --learning-rate 0.05 --learning-rate-batch 0
        --pictures 0 --workers 0 --threads 1 --validate-every 2 --devices 2 --accelerator cpu --output {tmp_path}/two"""
    done = subprocess.run(
        [sys.executable, "-m", "lseg_ros.cli", "train", *flags.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    one, two, start = (
        weights(alone),
        weights(tmp_path / "two" / "final.safetensors"),
        weights(Path(config.initialization.init)),
    )
    moved = {
        name: (one[name] - start[name]).abs().max().item() for name in one if "text" not in name and one[name].ndim
    }
    assert max(moved.values()) > 1e-2
    for name in moved:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)


def test_a_recipe_sets_what_flags_leave_open() -> None:
    config = parse(SETTINGS, ["--recipe", "lseg", "--batch-size", "4", "--root", "x"], "lseg train")
    assert (config.recipe, config.schedule.batch_size, config.schedule.accumulate, config.schedule.epochs) == (
        "lseg",
        4,
        2,
        240,
    )
    assert (config.augmentation.crop, config.optimization.optimizer, config.data.dataset) == (480, "sgd", "ade20k")
    assert dataclasses.asdict(config) == dataclasses.asdict(changed(RECIPES["lseg"], batch_size=4, root="x"))


@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        ([], "modern"),
        (["--dataset", "synthetic"], "modern"),
        (["--dataset=ade20k", "--recipe=lseg"], "lseg"),
    ],
)
def test_uses_the_modern_recipe_by_default(words: list[str], recipe: str) -> None:
    config = parse(SETTINGS, words, "lseg train")
    assert config.recipe == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "split: expected train"),
        ({"widths": (64,)}, "widths: expected none, images of folder have their size"),
        ({"dataset": "synthetic", "widths": (50,)}, "widths: expected multiples of 4"),
        ({"precision": "float8"}, "precision: expected one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(TrainingConfig(), **change)


def test_a_broken_validation_image_stops_the_run_with_its_name(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    (tmp_path / "data" / "images" / "val" / "1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"^/.*images/val/1\.png: expected an image, got"):
        train(config)


def test_a_folder_without_a_val_split_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = small_run(tmp_path, steps=1, pictures=0)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind / "train").rename(tmp_path / kind)
        for each in (tmp_path / "data" / kind).rglob("*.png"):
            each.unlink()
        (tmp_path / "data" / kind / "val").rmdir()
        (tmp_path / kind).rename(tmp_path / "data" / kind / "all")
    train(config)
    assert "there is no val split, validation shows images that are trained on" in caplog.text


def test_a_run_without_validation_needs_no_val_split(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=1, validation_images=-1, log_every=1)
    (tmp_path / "data" / "images" / "val").rename(tmp_path / "elsewhere")
    assert load_lseg(train(config)).config == CONFIG
    assert "miou" not in log_of(config)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with GracefulStop() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
