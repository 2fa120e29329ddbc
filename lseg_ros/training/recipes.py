"""The recipes: settings to begin with, of which every one can be changed."""

from __future__ import annotations

from lseg_ros.datasets import DatasetConfig
from lseg_ros.training.augmentation import AugmentationConfig
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import InitializationConfig
from lseg_ros.training.label_sampler import LabelSamplerConfig
from lseg_ros.training.optimization import OptimizationConfig
from lseg_ros.training.schedule import ScheduleConfig

__all__ = ["RECIPES"]

_MODERN = TrainingConfig()

# Section 4 of the paper and the authors' scripts (lseg.md 3), whose rates follow the batch: 0.004 / 16 per image.
_LSEG = TrainingConfig(
    recipe="lseg",
    data=DatasetConfig(dataset="ade20k", split="train", seed=0),
    start=InitializationConfig(preset="vitl16"),
    order=ScheduleConfig(steps=0, epochs=240, batch_size=1, accumulate=2),
    augmentation=AugmentationConfig(padding="black", color_jitter=0.0),
    questions=LabelSamplerConfig(complete_share=1.0),
    optimization=OptimizationConfig(
        optimizer="sgd",
        learning_rate=0.004,
        learning_rate_batch=16,
        decoder_rate=10.0,
        weight_decay=1e-4,
        decay_everything=True,
        schedule="poly",
        warm_up=0.0,
        gradient_clip=0.0,
    ),
    full_resolution=True,
    precision="float32",
    validate_every=0,
)

# The network in the package. Scenes are rendered while it trains, coarse ones first, and none comes twice.
_SYNTHETIC = TrainingConfig(
    recipe="synthetic",
    data=DatasetConfig(dataset="synthetic", split="train", seed=0, frames=10_000_000, colors=True),
    start=InitializationConfig(preset="demo"),
    order=ScheduleConfig(steps=5600, batch_size=8, early_steps=2100, early_batch_size=8),
    widths=(256, 320),
    early_widths=(192, 256),
    augmentation=AugmentationConfig(base_size=0, crop=0, color_jitter=0.0),
    questions=LabelSamplerConfig(
        complete_share=0.4, color_share=0.4, others_share=0.05, most_distractors=48, questions_per_image=2
    ),
    optimization=OptimizationConfig(
        optimizer="muon", learning_rate=2.5e-3, decoder_rate=1.0, schedule="trapezoid", warm_up=0.01, cool_down=0.6
    ),
    pixels=4096,
    pull=0.7,
    class_balance=0.5,
    batch_norm="batch",
    workers=1,
    validate_every=500,
    validation_images=48,
    half_weights=True,
)

RECIPES: dict[str, TrainingConfig] = {each.recipe: each for each in (_MODERN, _LSEG, _SYNTHETIC)}
