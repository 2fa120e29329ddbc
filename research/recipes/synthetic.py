"""Train the embedded ``demo`` network on the synthetic world.

``python -m research.recipes.synthetic`` takes the flags of ``lseg train``; only the defaults differ.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lseg_ros.cli.train import run
from lseg_ros.datasets import DatasetConfig
from lseg_ros.settings import setting
from lseg_ros.training.augmentation import AugmentationConfig
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import InitializationConfig
from lseg_ros.training.label_sampler import LabelSamplerConfig
from lseg_ros.training.optimization import OptimizationConfig
from lseg_ros.training.schedule import ScheduleConfig
from research.command_line import run_script

__all__ = ["SYNTHETIC", "SyntheticTrainingConfig", "main"]


@dataclass(frozen=True)
class SyntheticTrainingConfig(TrainingConfig):
    """Train the network that ships with the package on scenes of the synthetic world.

    The scenes are rendered during training, small ones first, and no scene is shown twice. All flags of `lseg train`
    work; only the defaults differ.
    """

    recipe: str = setting("synthetic", "name of this recipe", choices=("synthetic",))


SYNTHETIC = SyntheticTrainingConfig(
    data=DatasetConfig(dataset="synthetic", split="train", seed=0, frames=10_000_000, colors=True),
    initialization=InitializationConfig(preset="demo_vit"),
    schedule=ScheduleConfig(steps=5600, batch_size=8, early_steps=2100, early_batch_size=8),
    widths=(256, 320),
    early_widths=(192, 256),
    augmentation=AugmentationConfig(base_size=0, crop=0, color_jitter=0.0),
    label_sampler=LabelSamplerConfig(
        complete_share=0.4, color_share=0.4, others_share=0.05, max_distractors=48, prompts_per_image=2
    ),
    optimization=OptimizationConfig(
        optimizer="muon", learning_rate=2.5e-3, decoder_rate=1.0, lr_schedule="trapezoid", warm_up=0.01, cool_down=0.6
    ),
    pixels_per_image=4096,
    cosine_weight=0.7,
    class_balance=0.5,
    batch_norm="batch",
    workers=1,
    validate_every=500,
    validation_images=48,
    half_weights=True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``lseg train`` with the defaults of this recipe; returns the exit status."""
    return run_script("research.recipes.synthetic", lambda _: SYNTHETIC, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
