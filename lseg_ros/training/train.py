"""A training run from settings to a file of weights."""

from __future__ import annotations

import datetime
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lseg_ros.model import PRESETS, LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.training.config import TrainingConfig
from lseg_ros.training.module import LSegTraining
from lseg_ros.training.text_distillation import load_text_encoder

__all__ = ["train"]

_LOG = logging.getLogger(__name__)


def train(config: TrainingConfig) -> Path:
    """Train, and return the file of weights: float16 safetensors in the official key layout.

    A run that was interrupted goes on from its last epoch. Raises RuntimeError when the loss stops being finite.
    """
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed, verbose=False)
    module = LSegTraining(_untrained(config), config)
    trainer = Trainer(
        default_root_dir=output,
        devices=config.processes,
        strategy="ddp" if config.processes > 1 else "auto",
        use_distributed_sampler=False,  # batches and validation scenes are dealt out by process number
        max_epochs=-1,  # steps decide
        max_steps=config.steps,
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=1.0,
        precision=_precision(config.precision),
        logger=CSVLogger(output, name="log"),
        callbacks=[_last_checkpoint(output), LearningRateMonitor()],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        log_every_n_steps=25,
    )
    last = output / "last.ckpt"
    resumed = last if config.resume and last.exists() else None
    trainer.fit(module, ckpt_path=resumed, weights_only=True if resumed else None)
    path = output / f"{config.preset}.safetensors"
    if trainer.is_global_zero:
        _save(module, trainer, path)
    return path


def _last_checkpoint(output: Path) -> ModelCheckpoint:
    # at the epoch's very end, after validation: what is resumed is then a whole number of epochs
    return ModelCheckpoint(output, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)


def _untrained(config: TrainingConfig) -> LSeg:
    """The preset's network with fresh image weights and the text tower that is to be kept."""
    model = LSeg(PRESETS[config.preset])
    tower = load_text_encoder(Path(config.text_tower)) if config.text_tower else load_lseg(config.preset).text_encoder
    if tower.config != model.config.text:
        raise ValueError(f"text_tower: expected {model.config.text}, got {tower.config}")
    model.text_encoder.load_state_dict(tower.state_dict())
    return model


def _precision(wanted: str) -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name of the arithmetic: bfloat16 pays only where the device computes in it."""
    if wanted == "auto":
        on_gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        wanted = "bfloat16" if on_gpu or _cpu_has_bfloat16() else "float32"
    return "bf16-mixed" if wanted == "bfloat16" else "32-true"


def _cpu_has_bfloat16() -> bool:
    facts = Path("/proc/cpuinfo")
    return facts.exists() and any(flag in facts.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def _save(module: LSegTraining, trainer: Trainer, path: Path) -> None:
    figures = {name: round(float(value), 4) for name, value in trainer.callback_metrics.items()}
    provenance = {
        "training": json.dumps(asdict(module.config)),
        "classes": json.dumps(module.classes),
        "validation": json.dumps(figures),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    save_lseg(module.model, path, half=True, metadata=provenance)
    _LOG.info("weights written to %s", path)
