"""What a file of weights holds: safetensors, the authors' Lightning files, bare state dicts. Nothing in one is run."""

from __future__ import annotations

import contextlib
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ["WeightFile", "open_weights"]

# Lightning before 1.5 keeps the state of callbacks under their classes. Their names are all that is read of them.
_LIGHTNING_CLASS = re.compile(r"(pytorch_lightning|lightning)\.[\w.]+")
# What else a reader raises where bytes are missing or wrong; pickle's documentation promises no less.
_DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SafetensorError, TypeError, ValueError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
_SAFE_GLOBALS = getattr(torch.serialization, "safe_globals", None)  # PyTorch 2.5 has it


@dataclass(frozen=True, eq=False)
class WeightFile:
    """An open file of weights.

    kind: "safetensors", "Lightning checkpoint" or "state dict". entries: names (without ``net.``) -> shape and dtype,
    as tensors without content. metadata: of safetensors their own, of a Lightning file the plain values beside the
    tensors. read: name and dtype (None: the file's own) -> the tensor; one of the file's dtype is mapped, not copied.
    """

    path: Path
    kind: str
    entries: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    read: Callable[[str, torch.dtype | None], Tensor]


def open_weights(path: Path) -> WeightFile:
    """Look into a file; ValueError that begins with its name where it is truncated, foreign or could run code."""
    return _open_safetensors(path) if path.suffix == ".safetensors" else _open_pickle(path)


def _open_safetensors(path: Path) -> WeightFile:
    try:
        shared = safe_open(path, framework="pt")
        entries = {name: shared.get_tensor(name).to("meta") for name in shared.keys()}  # noqa: SIM118
    except _DAMAGED as error:
        raise _damaged(path, error) from error

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        if not _converts(entries[name], dtype):
            return shared.get_tensor(name)
        with safe_open(path, framework="pt") as own:  # a mapping of its own, whose memory is free again afterwards
            return own.get_tensor(name).to(dtype)

    return WeightFile(path, "safetensors", entries, shared.metadata() or {}, read)


def _open_pickle(path: Path) -> WeightFile:
    content = _unpickled(path)
    wrapped = isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping)
    tensors = content["state_dict"] if wrapped else content if isinstance(content, Mapping) else {}
    weights = {str(name).removeprefix("net."): value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"checkpoint {path}: expected a state dict of tensors, got {type(content).__name__}")

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        return weights[name].to(dtype) if _converts(weights[name], dtype) else weights[name]

    plain = {str(name): str(value) for name, value in content.items() if isinstance(value, (int, float, str))}
    entries = {name: value.to("meta") for name, value in weights.items()}
    return WeightFile(path, "Lightning checkpoint" if wrapped else "state dict", entries, plain, read)


def _converts(entry: Tensor, dtype: torch.dtype | None) -> bool:
    return dtype is not None and entry.is_floating_point() and entry.dtype != dtype


def _unpickled(path: Path) -> Any:
    """Tensors, numbers, words and containers of them; a pickle that wants anything else is refused by its name."""
    inert: dict[str, type] = {}
    while True:
        allowed = _SAFE_GLOBALS(list(inert.values())) if _SAFE_GLOBALS and inert else contextlib.nullcontext()
        try:
            with allowed:
                # files of before torch 1.6 are no zip archives and cannot be mapped
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as error:
            wanted = re.search(r"(?:GLOBAL|class) (\S+)", str(error))
            if not wanted:
                raise ValueError(f"checkpoint {path}: expected a state dict of tensors, got another pickle") from error
            name = wanted[1]
            harmless = _LIGHTNING_CLASS.fullmatch(name) is not None and name not in inert
            if not harmless or _SAFE_GLOBALS is None:
                hint = ": PyTorch 2.5 or newer can read past it" if harmless else ""
                raise ValueError(
                    f"checkpoint {path}: refused, it holds more than tensors and could run code ({name}{hint})"
                ) from error
            inert[name] = _stand_in(name)
        except _DAMAGED as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(f"checkpoint {path}: expected a whole safetensors or PyTorch file, got {reason}")


def _stand_in(name: str) -> type:
    """An empty class that passes for Lightning's of this name while a file is read: nothing of Lightning is run."""
    module, _, short = name.rpartition(".")
    return type(short, (), {"__module__": module})
