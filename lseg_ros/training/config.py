"""Settings of a training run, and the recipes that set their defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lseg_ros.datasets import ZERO_SHOT, DatasetConfig
from lseg_ros.settings import check, setting
from lseg_ros.training.augmentation import AugmentationConfig
from lseg_ros.training.distillation import DistillationConfig
from lseg_ros.training.initialization import InitializationConfig
from lseg_ros.training.label_sampler import LabelSamplerConfig
from lseg_ros.training.optimization import OptimizationConfig
from lseg_ros.training.schedule import ScheduleConfig

__all__ = ["RECIPES", "TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """Train LSeg with a softmax over label embeddings at every pixel.

    The text encoder is frozen. The recipe sets the defaults of all other flags; `lseg train --recipe lseg --help` shows
    those of the recipe lseg. All GPUs of a machine are used by default. To train on several machines, use torchrun or
    SLURM (docs/training.md).
    """

    recipe: str = setting(
        "modern",
        "defaults of the other flags: modern, or lseg for the settings of the authors",
        choices=("modern", "lseg"),
    )
    output: str = setting("out/train", "folder for checkpoints, logs, pictures and trained weights")
    mix: str = setting(
        "",
        "YAML file of data sets to train on together (docs/training.md); it replaces dataset, and roots in it are "
        "relative to root or, without root, to its folder",
    )
    data: DatasetConfig = dataclasses.field(
        default_factory=lambda: DatasetConfig(dataset="folder", split="train", seed=0)
    )
    initialization: InitializationConfig = dataclasses.field(default_factory=InitializationConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    widths: tuple[int, ...] = setting(
        (), "image widths of the synthetic set, alternating between batches, with heights of 3/4; empty: the size of "
        "the set", unit="px",
    )  # fmt: skip
    early_widths: tuple[int, ...] = setting((), "image widths of the synthetic set in the early steps", unit="px")
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)
    label_sampler: LabelSamplerConfig = dataclasses.field(default_factory=LabelSamplerConfig)
    optimization: OptimizationConfig = dataclasses.field(default_factory=OptimizationConfig)
    head: str = setting(
        "words",
        "output of the network: words for embeddings to compare with words, classes for a conventional classifier",
        choices=("words", "classes"),
    )
    loss_at_full_resolution: bool = setting(
        False, "compute the loss at every pixel after upsampling, like the authors, instead of at every embedding"
    )
    pixels_per_image: int = setting(
        0, "pixels sampled from each image for the loss, weighted by class_balance; 0: all pixels", minimum=0
    )
    cosine_weight: float = setting(
        0.0,
        "weight of the cosine distance between each pixel and its label in the loss, which helps with words that do "
        "not occur in training",
        minimum=0.0,
    )
    hint_weight: float = setting(
        0.3, "weight in the loss of the hints of a mix, which say what unlabeled pixels may show", minimum=0.0
    )
    distillation: DistillationConfig = dataclasses.field(default_factory=DistillationConfig)
    class_balance: float = setting(
        0.0, "exponent p of the class weights, (share of the pixels)^-p", minimum=0.0, maximum=1.0
    )
    freeze_backbone: bool = setting(
        False, "train only the decoder and the head, at less than half the cost; the backbone keeps its initial weights"
    )
    batch_norm: str = setting(
        "sync",
        "statistics of batch normalization: sync over all GPUs (on CPUs the same as batch), batch for each device, "
        "frozen, or frozen_backbone for frozen in the backbone only",
        choices=("sync", "batch", "frozen", "frozen_backbone"),
    )
    precision: str = setting(
        "auto", "arithmetic; auto: bfloat16 if the device supports it", choices=("auto", "bfloat16", "float32")
    )
    accelerator: str = setting("auto", "device type; auto: a GPU if there is one", choices=("auto", "cpu", "gpu"))
    devices: int = setting(
        0, "GPUs per machine, or processes on a CPU; 0: all GPUs, or one process on a CPU", minimum=0
    )
    num_nodes: int = setting(1, "number of machines; torchrun overrides this and devices", minimum=1)
    workers: int = setting(4, "processes per device that load images", minimum=0)
    threads: int = setting(0, "CPU threads per process; 0: default of torch", minimum=0)
    validate_every: int = setting(
        1000, "steps between validations, which also write a checkpoint; 0: one epoch", unit="steps", minimum=0
    )
    validation_images: int = setting(
        0, "images of each val split to score, evenly spaced; 0: all, -1: no validation", minimum=-1
    )
    pictures: int = setting(4, "validation images to draw after each validation", minimum=0)
    log_every: int = setting(25, "steps between log entries", unit="steps", minimum=1)
    half_weights: bool = setting(False, "write matrices and filters of the trained weights in float16")
    resume: bool = setting(True, "continue from the last checkpoint in the output folder, if there is one")

    def __post_init__(self) -> None:
        check(self)
        if self.data.split != "train":
            raise ValueError(f"split: expected train, the other split is used for validation, got {self.data.split}")
        if self.pixels_per_image and self.loss_at_full_resolution:
            raise ValueError(f"pixels_per_image: expected 0 with loss_at_full_resolution, got {self.pixels_per_image}")
        conventional = self.head == "classes"
        if conventional and (
            self.label_sampler.complete_share < 1 or self.cosine_weight or self.validation_images >= 0
        ):
            raise ValueError(
                "head: expected complete_share 1, cosine_weight 0 and validation_images -1 with classes, got "
                f"{self.label_sampler.complete_share}, {self.cosine_weight} and {self.validation_images}"
            )
        if conventional and (self.distillation.retain_weight or self.initialization.classifier_branch):
            raise ValueError("head: expected words with a classifier branch, got classes")
        if conventional and self.distillation.distill_weight:
            raise ValueError(f"distill_weight: expected 0 with head classes, got {self.distillation.distill_weight}")
        if self.mix:
            self._check_mix()
        for name in ("widths", "early_widths"):
            widths = getattr(self, name)
            if any(width < 32 or width % 4 for width in widths):
                raise ValueError(f"{name}: expected multiples of 4 of at least 32, got {widths}")
            if widths and (self.mix or self.data.dataset != "synthetic"):
                images = self.mix or self.data.dataset
                raise ValueError(f"{name}: expected none, the images of {images} have a size, got {widths}")

    def _check_mix(self) -> None:
        """Reject settings that count passes over the training set, which a mix does not have."""
        schedule = self.schedule
        if schedule.epochs or not self.validate_every or self.optimization.lr_schedule == "poly":
            raise ValueError(
                "mix: expected epochs 0, validate_every above 0 and lr_schedule cosine or trapezoid, because the sets "
                f"of a mix have no common epoch, got {schedule.epochs}, {self.validate_every} and "
                f"{self.optimization.lr_schedule}"
            )

    @property
    def zero_shot(self) -> bool:
        """Whether each image is compared with one class and ``others``."""
        return not self.mix and self.data.dataset in ZERO_SHOT

    @property
    def seed(self) -> int:
        """Seed of all random choices of the run, and of the synthetic world."""
        return self.data.seed


_MODERN = TrainingConfig()

# Section 4 of the LSeg paper and the authors' train_lseg.py, where the rate is 0.004 / 16 per image of a batch.
_LSEG = TrainingConfig(
    recipe="lseg",
    data=DatasetConfig(dataset="ade20k", split="train", seed=0),
    initialization=InitializationConfig(preset="vitl16"),
    schedule=ScheduleConfig(steps=0, epochs=240, batch_size=1, accumulate=2),
    augmentation=AugmentationConfig(padding="black", color_jitter=0.0),
    label_sampler=LabelSamplerConfig(complete_share=1.0),
    optimization=OptimizationConfig(
        optimizer="sgd",
        learning_rate=0.004,
        learning_rate_batch=16,
        decoder_rate=10.0,
        weight_decay=1e-4,
        decay_everything=True,
        lr_schedule="poly",
        warm_up=0.0,
        gradient_clip=0.0,
    ),
    loss_at_full_resolution=True,
    precision="float32",
    validate_every=0,
)

RECIPES: dict[str, TrainingConfig] = {config.recipe: config for config in (_MODERN, _LSEG)}
