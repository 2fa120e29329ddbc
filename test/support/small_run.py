"""A training run that takes a second: small images, a tiny network, few steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from lseg_ros.datasets import DatasetConfig
from lseg_ros.model import load_lseg
from lseg_ros.training.augmentation import AugmentationConfig
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import InitializationConfig
from lseg_ros.training.schedule import ScheduleConfig
from test.support.dataset_trees import write_mask, write_text
from test.support.tiny_network import write_tiny

__all__ = ["changed", "read_weights", "small_run", "write_dataset"]

COLORS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]])


def small_run(folder: Path, **settings: Any) -> TrainingConfig:
    """Write data and weights to ``folder`` and return the settings of a run there.

    Args:
        folder: Where to write.
        settings: Other settings, including those of nested parts, by name.
    """
    write_dataset(folder / "data")
    config = TrainingConfig(
        output=str(folder / "run"),
        data=DatasetConfig(dataset="folder", root=str(folder / "data"), split="train", seed=0),
        initialization=InitializationConfig(init=write_tiny(folder)),
        schedule=ScheduleConfig(steps=4, batch_size=2),
        augmentation=AugmentationConfig(base_size=80, crop=64),
        precision="float32",
        workers=0,
        threads=1,
        validate_every=2,
        pictures=1,
    )
    return changed(config, **settings)


def changed(config: TrainingConfig, **settings: Any) -> TrainingConfig:
    """Return the settings with changes, including those of nested parts, by name."""
    for name, value in settings.items():
        parts = [
            field.name for field in dataclasses.fields(config) if dataclasses.is_dataclass(getattr(config, field.name))
        ]
        owner = next((part for part in parts if hasattr(getattr(config, part), name)), None)
        change = {owner: dataclasses.replace(getattr(config, owner), **{name: value})} if owner else {name: value}
        config = dataclasses.replace(config, **change)
    return config


def read_weights(path: str | Path) -> Mapping[str, Tensor]:
    """Read the entries of a network from a file."""
    return load_lseg(path).state_dict()


def write_dataset(root: Path) -> None:
    """Write eight training and three validation images of three classes that differ in color."""
    random = np.random.default_rng(0)
    write_text(root / "labels.txt", "ball|sphere", "lawn", "sea")
    for split, count in (("train", 8), ("val", 3)):
        for number in range(count):
            height, width = (64, 80) if number % 2 else (72, 64)
            mask = np.zeros((height, width), np.uint8)
            mask[:, width // 2 :], mask[height // 2 :, : width // 3] = 1, 2
            noise = random.integers(-20, 20, (height, width, 3))
            write_mask(root / "masks" / split / f"{number}.png", mask)
            image = root / "images" / split / f"{number}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((COLORS[mask] + noise).clip(0, 255).astype(np.uint8)).save(image)
