"""A training run from outside: it learns, it goes on where it was stopped, it leaves weights that load."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lseg_ros.model import PRESETS, LSeg, load_lseg
from lseg_ros.training import train as train_module
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.module import LSegTraining
from lseg_ros.training.train import train

CONFIG = TrainingConfig(
    steps=4,
    steps_per_epoch=2,
    batch_size=2,
    widths=(64,),
    early_steps=0,
    validation_scenes=2,
    processes=1,
    precision="float32",
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


def test_the_loss_on_one_batch_falls() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, complete_share=1.0)
    module = LSegTraining(LSeg(PRESETS["demo"]), config)
    batch = module.train_dataloader().dataset[0]
    module.log = lambda *_args, **_kwargs: None  # type: ignore[method-assign]  # there is no trainer here
    optimizer = torch.optim.AdamW([each for each in module.parameters() if each.requires_grad], lr=1e-3)
    losses = []
    for _ in range(8):
        loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_run_leaves_weights_that_load_and_say_where_they_come_from(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, output=str(tmp_path))
    path = train(config)
    model = load_lseg(path)
    assert model.config == PRESETS["demo"]
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
    assert json.loads(facts["training"])["seed"] == 0
    assert "miou" in json.loads(facts["validation"])


def test_the_text_tower_stays_as_it_was(tmp_path: Path) -> None:
    before = load_lseg("demo").text_encoder.state_dict()
    after = load_lseg(train(dataclasses.replace(CONFIG, output=str(tmp_path)))).text_encoder.state_dict()
    assert all(torch.allclose(before[name], after[name], atol=2e-3) for name in before)  # float16 in both files


def test_a_stopped_run_goes_on_from_its_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIG, output=str(tmp_path))
    seen: list[int] = []
    original = LSegTraining.training_step

    def stopped_at_step_3(self: LSegTraining, batch: object, index: int) -> torch.Tensor:
        seen.append(self.global_step)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(LSegTraining, "training_step", stopped_at_step_3)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(config)
    train(config)
    assert seen == [0, 1, 2, 3, 2, 3]


def test_a_loss_that_is_not_finite_stops_the_run_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_config: TrainingConfig) -> LSeg:
        model = LSeg(PRESETS["demo"])
        torch.nn.init.constant_(model.head.weight, torch.nan)
        return model

    monkeypatch.setattr(train_module, "_untrained", broken)
    with pytest.raises(RuntimeError, match="loss: expected a finite value, got nan at step 0"):
        train(dataclasses.replace(CONFIG, output=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (50,)}, "widths: expected multiples of 4"),
        ({"steps": 0}, "steps: expected"),
        ({"preset": "x"}, "preset: expected one of demo"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_another_text_tower_than_the_preset_needs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = LSeg(dataclasses.replace(PRESETS["demo"], text=dataclasses.replace(PRESETS["demo"].text, layers=1)))
    monkeypatch.setattr(train_module, "load_lseg", lambda _name: other)
    with pytest.raises(ValueError, match="text_tower: expected"):
        train(dataclasses.replace(CONFIG, output=str(tmp_path)))
