"""Where a run runs: devices, machines, arithmetic and loggers, as Lightning Fabric launches them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger

from lseg_ros.training.config import TrainingConfig

__all__ = ["build_fabric"]


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
    return torch.cuda.is_bf16_supported() if on_gpu else _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    facts = Path("/proc/cpuinfo")
    return facts.exists() and any(flag in facts.read_text() for flag in ("avx512_bf16", "amx_bf16"))
