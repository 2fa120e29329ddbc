"""A training run from settings to a file of weights, on Lightning Fabric: its launchers, precision and loggers."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from torch import nn

from lseg_ros.inference.device import has_native_bfloat16
from lseg_ros.training.batches import Batches, build_label_sampler
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import build_initial_network
from lseg_ros.training.loss import WordPixelLoss
from lseg_ros.training.schedule import SampleSchedule
from lseg_ros.training.trainer import Trainer
from lseg_ros.training.validation import Validation, open_samples

__all__ = ["build_fabric", "train"]


def train(config: TrainingConfig) -> Path:
    """Train, and return the file of the final weights: safetensors in the official key layout.

    A run that was interrupted goes on from its last checkpoint, to the same end as without the interruption. Raises
    ValueError, FileNotFoundError or ConnectionError that names the setting, or the samples, that it could not go on
    with, and KeyboardInterrupt after a Ctrl-C, when the step is finished and saved.
    """
    warnings.filterwarnings("ignore", "Grad strides do not match")  # of tokens that are one wide: nothing is gained
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    images = open_samples(config.data)
    sampler = build_label_sampler(images, config)
    if not sampler.classes:
        raise ValueError(f"{images.name(0)}: expected words to ask for, got an empty label set")
    validation = None if config.validation_images < 0 else Validation(config)
    model = build_initial_network(config.initialization)
    fabric = build_fabric(config)
    fabric.launch()
    if fabric.device.type == "cpu":
        _disable_fused_attention(model)
    module: WordPixelLoss = WordPixelLoss(model, sampler, config)
    if config.batch_norm == "sync" and fabric.world_size > 1 and fabric.device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    schedule = SampleSchedule(
        len(images), config.schedule, config.seed, fabric.world_size, shuffled=config.data.dataset != "synthetic"
    )
    fill = [round(255 * each) if config.augmentation.padding == "mean" else 0 for each in model.config.image_mean]
    batches = Batches(config, images, sampler, schedule, fill, fabric.global_rank)
    if validation and fabric.is_global_zero:
        validation.warn_of_overlap(images)
    try:
        trainer = Trainer(config, fabric, module, batches, validation)
        trainer.fit()
        return trainer.finish()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _disable_fused_attention(model: nn.Module) -> None:
    """Attention as two products and a softmax: with few tokens, a CPU's fused kernel is slower (10 % of a step)."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):  # timm's
            module.fused_attn = False  # type: ignore[assignment]


def build_fabric(config: TrainingConfig) -> Fabric:
    """Lightning's own launcher, or the processes that torchrun or SLURM started already."""
    devices, nodes = config.devices, config.num_nodes
    if "LOCAL_WORLD_SIZE" in os.environ:  # torchrun
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    on_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
    devices = devices or (torch.cuda.device_count() if on_gpu else 1)
    return Fabric(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision="bf16-mixed" if _in_bfloat16(config.precision, on_gpu) else "32-true",
        loggers=[
            CSVLogger(config.output, name="log", flush_logs_every_n_steps=1),
            TensorBoardLogger(config.output, name="tensorboard"),
        ],
    )


def _in_bfloat16(wanted: str, on_gpu: bool) -> bool:
    """Bfloat16 pays only where the device computes in it."""
    if wanted != "auto":
        return wanted == "bfloat16"
    return has_native_bfloat16(torch.device("cuda" if on_gpu else "cpu"))
