"""Share one evaluation between the processes of torchrun or a similar launcher."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Process", "process_group", "sum_over_processes"]

_TIMEOUT = datetime.timedelta(days=2)  # the fastest process waits for the slowest to finish its samples

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
    """One of the processes that share an evaluation.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that logs and writes files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return the part of the items that this process handles."""
        return items[self.rank :: self.world_size]

    def wait_for_all(self) -> None:
        """Wait until every process has called this method."""
        if self.world_size > 1:
            dist.barrier()

    def device(self, name: str) -> str:
        """Replace ``auto`` or ``cuda`` with the GPU of this process if there are several."""
        if self.world_size == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        return f"cuda:{int(os.environ.get('LOCAL_RANK', self.rank)) % torch.cuda.device_count()}"


@contextmanager
def process_group() -> Iterator[Process]:
    """Join the processes of the launcher, and yield this process.

    The environment variables RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT describe the processes. A nested call yields
    the same process.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1 or dist.is_initialized():
        yield Process(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Process()
        return
    dist.init_process_group("gloo", timeout=_TIMEOUT)  # processes exchange only counts, which are on the CPU
    try:
        yield Process(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def sum_over_processes(counts: Tensor) -> Tensor:
    """Sum a tensor over all processes, on the CPU. Every process must call this function."""
    if not (dist.is_available() and dist.is_initialized()):
        return counts
    total = counts.to("cuda" if dist.get_backend() == "nccl" else "cpu", copy=True)
    dist.all_reduce(total)
    return total.cpu()
