"""How much memory the network's process and its GPU use."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["memory_mib"]

_STATUS = Path("/proc/self/status")  # Linux
_NAMES = {"VmRSS": "process memory", "VmHWM": "process memory peak"}


def memory_mib(device: torch.device) -> dict[str, float]:
    """Memory in MiB by what it is: the process's, now and at most, where Linux tells it, and of tensors on a GPU."""
    used: dict[str, float] = {}
    for line in _STATUS.read_text().splitlines() if _STATUS.exists() else ():
        name, _, value = line.partition(":")
        if name in _NAMES:
            used[_NAMES[name]] = int(value.split()[0]) / 1024  # given in kB
    if device.type == "cuda":
        used["GPU memory"] = torch.cuda.memory_allocated(device) / (1 << 20)
        used["GPU memory peak"] = torch.cuda.max_memory_allocated(device) / (1 << 20)
    return used
