"""Where the network runs, and in which precision."""

from __future__ import annotations

import torch

__all__ = ["chosen_device", "chosen_dtype", "has_native_bfloat16"]


def chosen_device(name: str) -> torch.device:
    """The device of a setting; ValueError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device: expected auto, cpu, cuda or cuda:N of a GPU that is there, got {name!r} ({reason})"
        ) from error
    return device


def chosen_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The image encoder's dtype of a setting; auto is the quickest that this device has in hardware."""
    if precision != "auto":
        dtype: torch.dtype = getattr(torch, precision)
        return dtype
    if device.type == "cpu":
        return torch.bfloat16 if has_native_bfloat16() else torch.float32
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def has_native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself: with AVX512_BF16 or AMX."""
    tells = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return torch.backends.mkldnn.is_available() and any(tell is not None and tell() for tell in tells)
