"""The settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from lseg_ros.settings import check, setting

__all__ = ["TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """What to train, on what, for how long. The defaults are how the weights in the package were made."""

    preset: str = setting("demo", "architecture to train", choices=("demo",))
    output: str = setting("out/train", "folder of checkpoints, log and the trained weights")
    text_tower: str = setting("", "file of a distilled text tower, to be frozen; empty: the tower of the preset")
    seed: int = setting(0, "seed of weights, scenes and label sets", minimum=0)
    steps: int = setting(6250, "optimiser steps in all", unit="steps", minimum=1)
    steps_per_epoch: int = setting(250, "steps between two validations and checkpoints", unit="steps", minimum=1)
    processes: int = setting(2, "training processes side by side, one per GPU or, without any, per core", minimum=1)
    batch_size: int = setting(4, "scenes per step and process", minimum=1)
    widths: tuple[int, ...] = setting((256, 320), "image widths, one batch each in turn; height is 3/4", unit="px")
    early_steps: int = setting(1500, "so many of the steps come first, with what is large", unit="steps", minimum=0)
    early_batch_size: int = setting(8, "batch_size of the early steps", minimum=1)
    early_widths: tuple[int, ...] = setting((192, 256, 320), "widths of the early steps", unit="px")
    learning_rate: float = setting(1.5e-3, "peak of a cosine schedule with warm-up (AdamW)", minimum=0.0)
    weight_decay: float = setting(0.05, "AdamW's decay of matrices and filters", minimum=0.0)
    class_balance: float = setting(
        0.5, "weight of a class is its pixel share to the power of minus this", minimum=0.0, maximum=1.0
    )
    complete_share: float = setting(
        0.5, "share of images asked with every word, the others with a drawn set", minimum=0.0, maximum=1.0
    )
    validation_scenes: int = setting(48, "held-out scenes scored after each epoch", minimum=1)
    workers: int = setting(0, "further processes that render scenes, per training process", minimum=0)
    threads: int = setting(1, "CPU threads per training process; 0 = torch's own choice", minimum=0)
    precision: str = setting(
        "auto", "arithmetic; auto: bfloat16 where the device has it", choices=("auto", "bfloat16", "float32")
    )
    resume: bool = setting(True, "go on from the last checkpoint in the output folder, where there is one")

    def __post_init__(self) -> None:
        check(self)
        for name in ("widths", "early_widths"):
            widths = getattr(self, name)
            if not widths or any(width < 32 or width % 4 for width in widths):
                raise ValueError(f"{name}: expected multiples of 4 from 32 up, got {widths}")
