"""The machine, its load and the library versions that a measurement belongs to."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import torch

import lseg_ros

__all__ = ["busy_warning", "describe_machine"]

_LIBRARIES = ("torch", "timm", "open_clip_torch", "numpy")
_OPENMP_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_BUSY_LOAD_PER_CORE = 0.3


def describe_machine(device: torch.device | None = None) -> dict[str, str]:
    """Facts about the machine by name.

    Args:
        device: The device that is measured; None for the CPU.
    """
    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "device": _device_name(device),
        "cores": str(_count_cores()),
        "threads": str(torch.get_num_threads()),
        "load average": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        **{name: os.environ.get(name, "not set") for name in _OPENMP_VARIABLES},
        "system": platform.platform(),
        "lseg_ros": lseg_ros.__version__,
        "python": platform.python_version(),
    }
    return facts | {name: _version(name) for name in _LIBRARIES}


def busy_warning() -> str:
    """Return a warning if other processes keep the machine busy, otherwise "".

    Measurements on a busy machine are unreliable.
    """
    load, cores = os.getloadavg()[0], _count_cores()
    if load <= _BUSY_LOAD_PER_CORE * cores:
        return ""
    return f"warning: the machine was busy before the start (load {load:.1f} on {cores} cores)"


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device_name(device: torch.device | None) -> str:
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
