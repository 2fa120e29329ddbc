"""The training loop: signals, resuming, and errors that name the sample."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from lseg_ros.model import LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.training import trainer as trainer_module
from lseg_ros.training.config import RECIPES
from lseg_ros.training.optimization import OptimizationConfig, set_learning_rates
from lseg_ros.training.train import train
from lseg_ros.training.trainer import GracefulStop
from test.support.small_run import changed, read_weights, small_run
from test.support.tiny_network import CONFIG


def same(one: Path, other: Path) -> bool:
    first, second = read_weights(one), read_weights(other)
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_requests_a_stop_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with GracefulStop() as stop:
        requested_at_first = stop.requested
        os.kill(os.getpid(), number)
        assert (requested_at_first, stop.requested) == (False, True)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("optimization", "pixels_per_image"),
    [
        (RECIPES["modern"].optimization, 0),
        (RECIPES["lseg"].optimization, 0),
        (OptimizationConfig(optimizer="muon", lr_schedule="trapezoid"), 4096),
    ],
)
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, optimization: OptimizationConfig, pixels_per_image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"steps": 6, "accumulate": 2, "validate_every": 4, "pictures": 0, "pixels_per_image": pixels_per_image}
    config = small_run(tmp_path, optimization=optimization, class_balance=0.5, **settings)
    uninterrupted = train(changed(config, output=str(tmp_path / "uninterrupted")))
    started = []

    def interrupt(optimizer: torch.optim.Optimizer, factor: float) -> None:
        started.append(0)
        if len(started) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        if len(started) == 6:  # in the sixth step; the last checkpoint is from the fourth
            raise RuntimeError("killed")
        set_learning_rates(optimizer, factor)

    monkeypatch.setattr(trainer_module, "set_learning_rates", interrupt)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert len(started) == 3
    saved = load_lseg(tmp_path / "run" / "last.safetensors")
    assert not torch.equal(saved.head.weight, load_lseg(config.initialization.init).head.weight)
    assert not torch.equal(saved.head.weight, load_lseg(uninterrupted).head.weight)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(RuntimeError, match="killed"):
        train(config)
    assert same(train(config), uninterrupted)
    assert len(started) == 3 + 3 + 2


def test_a_finished_run_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_run(tmp_path, steps=2)
    before = {name: value.clone() for name, value in read_weights(train(config)).items()}
    monkeypatch.setattr(trainer_module.Trainer, "_step", None)
    after = read_weights(train(config))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_rejects_resuming_with_other_settings(tmp_path: Path) -> None:
    config = small_run(tmp_path, steps=2, pictures=0)
    train(config)
    with pytest.raises(
        ValueError, match=r"resume: expected .*last\.ckpt, got others \(learning_rate was 0\.0001, is 0\.5\)"
    ):
        train(changed(config, learning_rate=0.5))
    train(changed(config, learning_rate=0.5, resume=False))


def test_stops_at_a_loss_that_is_not_finite_and_names_the_samples(tmp_path: Path) -> None:
    model = LSeg(CONFIG)
    torch.nn.init.constant_(model.head.weight, 3e38)  # finite, but its embeddings are not
    save_lseg(model, tmp_path / "huge.safetensors")
    config = small_run(tmp_path, init=str(tmp_path / "huge.safetensors"))
    with pytest.raises(ValueError, match=r"loss: expected .*, got nan in step 0 for the samples .*\d\.png, .*\d\.png"):
        train(config)


@pytest.mark.parametrize("workers", [0, 1])
def test_stops_at_an_unreadable_training_image_and_names_it(tmp_path: Path, workers: int) -> None:
    config = small_run(tmp_path, workers=workers, batch_size=8)
    (tmp_path / "data" / "images" / "train" / "5.png").write_text("no image")
    with pytest.raises(ValueError, match=r"^/.*images/train/5\.png: expected an image, got"):
        train(config)


def test_stops_at_an_unreadable_validation_image_and_names_it(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    (tmp_path / "data" / "images" / "val" / "1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"^/.*images/val/1\.png: expected an image, got"):
        train(config)
