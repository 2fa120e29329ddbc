"""Device and precision of the network, and the memory it uses."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["has_native_bfloat16", "memory_mib", "select_device", "select_dtype"]

_STATUS = Path("/proc/self/status")  # Linux only
_MEMORY_FIELDS = {"VmRSS": "process memory", "VmHWM": "process memory peak"}


def select_device(name: str) -> torch.device:
    """Return the device of a setting: auto (a GPU if there is one), cpu, cuda or cuda:N.

    Raises:
        ValueError: If the device does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device: expected auto, cpu, cuda or cuda:N of an existing GPU, got {name!r} ({reason})"
        ) from error
    return device


def select_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the image encoder for a setting.

    With auto, it is the fastest dtype that the device supports in hardware.
    """
    if precision != "auto":
        dtype: torch.dtype = getattr(torch, precision)
        return dtype
    if device.type == "cpu":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if has_native_bfloat16(device) else torch.float16


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; a CPU needs AVX512_BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # Not every PyTorch has these functions.
    probes = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return torch.backends.mkldnn.is_available() and any(probe is not None and probe() for probe in probes)


def memory_mib(device: torch.device) -> dict[str, float]:
    """Return the memory in use in MiB, by name.

    On Linux these are the resident memory of the process and its peak, on a GPU also the memory of tensors and its
    peak.
    """
    used: dict[str, float] = {}
    for line in _STATUS.read_text().splitlines() if _STATUS.exists() else ():
        name, _, value = line.partition(":")
        if name in _MEMORY_FIELDS:
            used[_MEMORY_FIELDS[name]] = int(value.split()[0]) / 1024  # given in kB
    if device.type == "cuda":
        used["GPU memory"] = torch.cuda.memory_allocated(device) / (1 << 20)
        used["GPU memory peak"] = torch.cuda.max_memory_allocated(device) / (1 << 20)
    return used
