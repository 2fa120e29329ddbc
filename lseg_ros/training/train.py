"""A training run from settings to a file of weights, on Lightning Fabric."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from timm.layers import convert_sync_batchnorm  # type: ignore[attr-defined]

from lseg_ros.datasets.mix import Mix, read_mix
from lseg_ros.datasets.mixed_images import open_mix
from lseg_ros.inference.device import has_native_bfloat16
from lseg_ros.training.batches import Batches, build_label_sampler
from lseg_ros.training.branch_words import measure_strengths, set_branch_words
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.cpu import prepare_for_cpu
from lseg_ros.training.initialization import build_initial_network
from lseg_ros.training.loss import WordPixelLoss
from lseg_ros.training.schedule import MixSchedule, SampleSchedule
from lseg_ros.training.trainer import Trainer
from lseg_ros.training.validation import Validation, open_samples

__all__ = ["build_fabric", "train"]

_LOG = logging.getLogger(__name__)


def train(config: TrainingConfig) -> Path:
    """Train a network, or resume an interrupted run.

    A resumed run ends with the same weights as an uninterrupted one.

    Returns:
        The file of the final weights: safetensors in the official key layout.

    Raises:
        ValueError: A setting or a sample is invalid; the message names it.
        FileNotFoundError: A file does not exist.
        ConnectionError: Pretrained weights cannot be downloaded.
        KeyboardInterrupt: The run was interrupted; the current step is finished and saved.
    """
    warnings.filterwarnings("ignore", "Grad strides do not match")  # harmless: tokens with a dimension of size 1
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    mix = _read_mix(config) if config.mix else None
    images = open_mix(mix) if mix else open_samples(config.data)
    sampler = build_label_sampler(images, config)
    if not sampler.classes:
        raise ValueError(f"{images.name(0)}: expected a label set with at least one label, got an empty one")
    validation = None if config.validation_images < 0 else Validation(config, mix)
    model = build_initial_network(config.initialization)
    if count := config.initialization.branch_images:
        sets = zip((part.images for part in images.sets), mix.shares) if mix else [(images, 1.0)]
        set_branch_words(model, measure_strengths(model, sets, count, config.augmentation.base_size))
    fabric = build_fabric(config)
    fabric.launch()
    if fabric.device.type == "cpu":
        prepare_for_cpu(model)
    loss: WordPixelLoss = WordPixelLoss(model, sampler, config)
    if config.batch_norm == "sync" and fabric.world_size > 1 and fabric.device.type == "cuda":
        loss = convert_sync_batchnorm(loss)  # of timm, whose batch norms contain activations
    schedule = _build_schedule(config, images, mix, fabric.world_size)
    use_mean = config.augmentation.padding == "mean"
    fill = [round(255 * mean) if use_mean else 0 for mean in model.config.image_mean]
    batches = Batches(config, images, sampler, schedule, fill, fabric.global_rank)
    if validation and fabric.is_global_zero:
        validation.warn_of_overlap(images)
    try:
        trainer = Trainer(config, fabric, loss, batches, validation, mix)
        trainer.fit()
        return trainer.finish()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def build_fabric(config: TrainingConfig) -> Fabric:
    """Build the Fabric that launches processes, or joins those of torchrun or SLURM."""
    devices, nodes = config.devices, config.num_nodes
    if "LOCAL_WORLD_SIZE" in os.environ:  # set by torchrun
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    on_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
    devices = devices or (torch.cuda.device_count() if on_gpu else 1)
    return Fabric(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision="bf16-mixed" if _use_bfloat16(config.precision, on_gpu) else "32-true",
        loggers=[
            CSVLogger(config.output, name="log", flush_logs_every_n_steps=1),
            TensorBoardLogger(config.output, name="tensorboard"),
        ],
    )


def _read_mix(config: TrainingConfig) -> Mix:
    """Read the mix file; its unlabeled sets are left out if nothing uses them."""
    mix = read_mix(config.mix, config.data.root)
    hinted = {entry.name for entry in mix.entries if entry.hints} if config.hint_weight else set()
    if hinted and config.head == "classes":
        raise ValueError(f"head: expected words with the hints of {min(hinted)} in {mix.path}, got classes")
    unused = [entry.name for entry in mix.entries if entry.unlabeled and entry.name not in hinted]
    if not unused or config.distillation.distill_weight:
        return mix
    _LOG.info("%s: the sets without masks are used only with hints or distill_weight: %s", mix.path, ", ".join(unused))
    return mix.without(unused)


def _build_schedule(config: TrainingConfig, images: Any, mix: Mix | None, processes: int) -> SampleSchedule:
    if mix is None:
        shuffled = config.data.dataset != "synthetic"
        return SampleSchedule(len(images), config.schedule, config.seed, processes, shuffled)
    sizes = tuple(len(part.images) for part in images.sets)
    shuffled_sets = tuple(entry.data.dataset != "synthetic" for entry in mix.entries)
    return MixSchedule(len(images), config.schedule, config.seed, processes, True, sizes, mix.shares, shuffled_sets)


def _use_bfloat16(precision: str, on_gpu: bool) -> bool:
    """Decide whether to train in bfloat16; auto requires hardware support."""
    if precision != "auto":
        return precision == "bfloat16"
    return has_native_bfloat16(torch.device("cuda" if on_gpu else "cpu"))
