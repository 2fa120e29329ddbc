"""What a figure belongs to: the machine, its load, the versions and the day."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import torch

import lseg_ros

__all__ = ["busy", "machine"]

_LIBRARIES = ("torch", "timm", "open_clip_torch", "numpy")


def machine(device: torch.device | None = None) -> dict[str, str]:
    """Facts by name, for a table and for JSON alike. device: the CPU where None."""
    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "device": _device(device),
        "cores": str(_cores()),
        "threads": str(torch.get_num_threads()),
        "load average": ", ".join(f"{each:.1f}" for each in os.getloadavg()),
        **{name: os.environ.get(name, "not set") for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")},
        "system": platform.platform(),
        "lseg_ros": lseg_ros.__version__,
        "python": platform.python_version(),
    }
    return facts | {name: _version(name) for name in _LIBRARIES}


def busy() -> str:
    """A warning where the machine has other work, "" where it has not: figures of a busy machine mean little."""
    load, cores = os.getloadavg()[0], _cores()
    return f"busy machine: load {load:.1f} on {cores} cores before this began" if load > 0.3 * cores else ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(device: torch.device | None) -> str:
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
