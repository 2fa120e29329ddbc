"""Several processes for one evaluation, started by torchrun or a launcher that sets the same environment."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Process", "process_group", "sum_over_processes"]

_TIMEOUT = datetime.timedelta(days=2)  # the last of the others may take as long as all of its images


@dataclass(frozen=True)
class Process:
    """One of ``count`` processes that share the work."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that talks and writes."""
        return self.rank == 0

    def wait_for_all(self) -> None:
        if self.world_size > 1:
            dist.barrier()

    def device(self, device: str) -> str:
        """The device ``device``, where that is any GPU: the one that is this process's own."""
        if self.world_size == 1 or device not in ("auto", "cuda") or not torch.cuda.is_available():
            return device
        return f"cuda:{int(os.environ.get('LOCAL_RANK', self.rank)) % torch.cuda.device_count()}"


@contextmanager
def process_group() -> Iterator[Process]:
    """Meet the other processes that the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) speaks of."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1 or dist.is_initialized():
        yield Process(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Process()
        return
    dist.init_process_group("gloo", timeout=_TIMEOUT)  # only counts travel, and those are on the CPU
    try:
        yield Process(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def sum_over_processes(counts: Tensor) -> Tensor:
    """The sum of all processes' tensors, on the CPU; every process must ask for it."""
    if not (dist.is_available() and dist.is_initialized()):
        return counts
    total = counts.to("cuda" if dist.get_backend() == "nccl" else "cpu", copy=True)
    dist.all_reduce(total)
    return total.cpu()
