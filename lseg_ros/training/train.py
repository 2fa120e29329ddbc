"""A training run from settings to a file of weights, on Lightning Fabric: its launchers, precision and loggers."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from lseg_ros.training.batches import Batches, words_of
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.initialization import build_initial_network
from lseg_ros.training.launch import build_fabric
from lseg_ros.training.module import WordPixelLoss
from lseg_ros.training.schedule import Order
from lseg_ros.training.trainer import Run
from lseg_ros.training.validation import Validation, opened

__all__ = ["train"]


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
    images = opened(config.data)
    words = words_of(images, config)
    if not words.classes:
        raise ValueError(f"{images.name(0)}: expected words to ask for, got an empty label set")
    validation = None if config.validation_images < 0 else Validation(config)
    model = build_initial_network(config.start)
    fabric = build_fabric(config)
    fabric.launch()
    if fabric.device.type == "cpu":
        _attend_in_parts(model)
    module: WordPixelLoss = WordPixelLoss(model, words, config)
    if config.batch_norm == "sync" and fabric.world_size > 1 and fabric.device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    order = Order(
        len(images), config.order, config.seed, fabric.world_size, shuffled=config.data.dataset != "synthetic"
    )
    fill = [round(255 * each) if config.augmentation.padding == "mean" else 0 for each in model.config.image_mean]
    batches = Batches(config, images, words, order, fill, fabric.global_rank)
    if validation and fabric.is_global_zero:
        validation.warn_of_overlap(images)
    try:
        run = Run(config, fabric, module, batches, validation)
        run.to_the_end()
        return run.finished()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _attend_in_parts(model: nn.Module) -> None:
    """Attention as two products and a softmax: with few tokens, a CPU's fused kernel is slower (10 % of a step)."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):  # timm's
            module.fused_attn = False  # type: ignore[assignment]
