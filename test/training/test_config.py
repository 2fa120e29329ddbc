"""Training settings: recipes, flags that override them, and invalid combinations."""

from __future__ import annotations

import dataclasses

import pytest

from lseg_ros.cli.flags import parse
from lseg_ros.cli.train import SETTINGS
from lseg_ros.training.config import RECIPES, TrainingConfig
from test.support.small_run import changed


def test_flags_override_the_recipe() -> None:
    config = parse(SETTINGS, ["--recipe", "lseg", "--batch-size", "4", "--root", "x"], "lseg train")
    assert config.recipe == "lseg"
    assert (config.schedule.batch_size, config.schedule.accumulate, config.schedule.epochs) == (4, 2, 240)
    assert (config.augmentation.crop, config.optimization.optimizer, config.data.dataset) == (480, "sgd", "ade20k")
    assert dataclasses.asdict(config) == dataclasses.asdict(changed(RECIPES["lseg"], batch_size=4, root="x"))


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [
        ([], "modern"),
        (["--dataset", "synthetic"], "modern"),
        (["--dataset=ade20k", "--recipe=lseg"], "lseg"),
    ],
)
def test_uses_the_modern_recipe_by_default(arguments: list[str], recipe: str) -> None:
    assert parse(SETTINGS, arguments, "lseg train").recipe == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "split: expected train"),
        ({"widths": (64,)}, "widths: expected none, the images of folder have a size"),
        ({"dataset": "synthetic", "widths": (50,)}, "widths: expected multiples of 4"),
        ({"precision": "float8"}, "precision: expected one of"),
    ],
)
def test_rejects_invalid_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(TrainingConfig(), **change)


def test_rejects_sampled_pixels_with_loss_at_full_resolution() -> None:
    with pytest.raises(ValueError, match="pixels_per_image: expected 0 with loss_at_full_resolution, got 5"):
        TrainingConfig(pixels_per_image=5, loss_at_full_resolution=True)


def test_rejects_a_head_of_classes_with_other_prompts() -> None:
    with pytest.raises(ValueError, match=r"head: expected complete_share 1, .* got 0\.5, 0\.0 and 0"):
        TrainingConfig(head="classes")
