"""The settings of a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lseg_ros.datasets import ZERO_SHOT, DatasetConfig
from lseg_ros.settings import check, setting
from lseg_ros.training.augmentation import AugmentationConfig
from lseg_ros.training.initialization import InitializationConfig
from lseg_ros.training.label_sampler import LabelSamplerConfig
from lseg_ros.training.optimization import OptimizationConfig
from lseg_ros.training.schedule import ScheduleConfig

__all__ = ["RECIPES", "TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """Train LSeg: at every pixel a softmax over words; the text tower stays as it is.

    A recipe says what the flags that are not given stand for. `lseg train --recipe lseg --help` shows that recipe's.
    Several GPUs of one machine are used by themselves; several machines: torchrun or SLURM (docs/training.md).
    """

    recipe: str = setting(
        "modern",
        "where the other defaults come from: modern, or lseg, as its authors trained",
        choices=("modern", "lseg"),
    )
    output: str = setting("out/train", "folder of checkpoints, logs, pictures and the trained weights")
    data: DatasetConfig = dataclasses.field(
        default_factory=lambda: DatasetConfig(dataset="folder", split="train", seed=0)
    )
    initialization: InitializationConfig = dataclasses.field(default_factory=InitializationConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    widths: tuple[int, ...] = setting(
        (), "synthetic set: image widths, one batch each in turn, height 3/4; empty: width and height of the set",
        unit="px",
    )  # fmt: skip
    early_widths: tuple[int, ...] = setting((), "synthetic set: widths of the early steps", unit="px")
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)
    label_sampler: LabelSamplerConfig = dataclasses.field(default_factory=LabelSamplerConfig)
    optimization: OptimizationConfig = dataclasses.field(default_factory=OptimizationConfig)
    head: str = setting(
        "words",
        "words: embeddings, as LSeg has it; classes: a conventional classifier of the set's classes, to compare with",
        choices=("words", "classes"),
    )
    loss_at_full_resolution: bool = setting(
        False, "loss at every pixel, after the upsampling, as the authors; else at the positions of the embeddings"
    )
    pixels_per_image: int = setting(
        0, "drawn from each image for the loss, rare classes more often (class_balance); 0: all of them", minimum=0
    )
    cosine_weight: float = setting(
        0.0,
        "weight of the distance between a pixel's embedding and its word's beside the cross-entropy, which is content "
        "with the order of the words that are asked: for words that training does not ask",
        minimum=0.0,
    )
    class_balance: float = setting(
        0.0, "weight of a class is its pixel share to the power of minus this", minimum=0.0, maximum=1.0
    )
    batch_norm: str = setting(
        "sync",
        "statistics of each device's batch, of all GPUs' (on CPUs like batch), or frozen as they start",
        choices=("sync", "batch", "frozen"),
    )
    precision: str = setting(
        "auto", "arithmetic; auto: bfloat16 where the device has it", choices=("auto", "bfloat16", "float32")
    )
    accelerator: str = setting("auto", "auto is a GPU where there is one", choices=("auto", "cpu", "gpu"))
    devices: int = setting(0, "GPUs on each machine, or processes on a CPU; 0: all GPUs, one process", minimum=0)
    num_nodes: int = setting(1, "machines; under torchrun both come from it", minimum=1)
    workers: int = setting(4, "further processes that read images, per device", minimum=0)
    threads: int = setting(0, "CPU threads of each process; 0 is torch's own choice", minimum=0)
    validate_every: int = setting(
        1000, "steps between two validations and checkpoints; 0: an epoch", unit="steps", minimum=0
    )
    validation_images: int = setting(
        0, "images of the val split that are scored, spread over it; 0 all, -1 none", minimum=-1
    )
    pictures: int = setting(4, "of them drawn after each validation", minimum=0)
    log_every: int = setting(25, "steps between two lines of the log", unit="steps", minimum=1)
    half_weights: bool = setting(False, "write the trained matrices and filters in float16")
    resume: bool = setting(True, "go on from the last checkpoint in the output folder, where there is one")

    def __post_init__(self) -> None:
        check(self)
        if self.data.split != "train":
            raise ValueError(f"split: expected train, the other part is for validation, got {self.data.split}")
        if self.pixels_per_image and self.loss_at_full_resolution:
            raise ValueError(
                f"pixels_per_image: expected 0, all of them, with loss_at_full_resolution, got {self.pixels_per_image}"
            )
        if self.head == "classes" and (
            self.label_sampler.complete_share < 1 or self.cosine_weight or self.validation_images >= 0
        ):
            raise ValueError(
                "head: expected complete_share 1, cosine_weight 0, validation_images -1 with classes, got others"
            )
        for name in ("widths", "early_widths"):
            widths = getattr(self, name)
            if any(width < 32 or width % 4 for width in widths):
                raise ValueError(f"{name}: expected multiples of 4 from 32 up, got {widths}")
            if widths and self.data.dataset != "synthetic":
                raise ValueError(f"{name}: expected none, images of {self.data.dataset} have their size, got {widths}")

    @property
    def zero_shot(self) -> bool:
        """Whether each image asks for one class, against ``others``."""
        return self.data.dataset in ZERO_SHOT

    @property
    def seed(self) -> int:
        """Of the weights, the order of the images, augmentation and label sets; the synthetic world's as well."""
        return self.data.seed


_MODERN = TrainingConfig()

# Section 4 of the paper and the authors' scripts (lseg.md 3), whose rates follow the batch: 0.004 / 16 per image.
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

RECIPES: dict[str, TrainingConfig] = {each.recipe: each for each in (_MODERN, _LSEG)}
