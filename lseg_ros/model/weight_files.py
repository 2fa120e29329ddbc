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
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ["WeightFile", "open_weights"]

# Lightning before 1.5 keeps the state of callbacks under their classes. Their names are all that is read of them.
_LIGHTNING_CLASS = re.compile(r"(pytorch_lightning|lightning)\.[\w.]+")
_OF_TENSORS = re.compile(r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.\w+Storage")
_PREFIX = re.compile(r"^(module\.)?(net\.)?")  # of a network in DistributedDataParallel; of one in Lightning's module
# What else a reader raises where bytes are missing or wrong; pickle's documentation promises no less.
_DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SafetensorError, TypeError, ValueError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
_SAFE_GLOBALS = getattr(torch.serialization, "safe_globals", None)  # PyTorch 2.5 has it


@dataclass(frozen=True, eq=False)
class WeightFile:
    """An open file of weights.

    kind: "safetensors", "Lightning checkpoint" or "state dict". entries: names, without ``net.`` or ``module.`` in
    front -> shape and dtype, as tensors without content. metadata: of safetensors their own, of a Lightning file the
    plain values beside the tensors. read: name and dtype (None: the file's own) -> the tensor; one of the file's dtype
    is mapped, not copied.
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
        names = {_PREFIX.sub("", name): name for name in shared.keys()}  # noqa: SIM118
        entries = {name: shared.get_tensor(stored).to("meta") for name, stored in names.items()}
    except _DAMAGED as error:
        raise _damaged(path, error) from error

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        if not _converts(entries[name], dtype):
            return shared.get_tensor(names[name])
        with safe_open(path, framework="pt") as own:  # a mapping of its own, whose memory is free again afterwards
            return own.get_tensor(names[name]).to(dtype)

    return WeightFile(path, "safetensors", entries, shared.metadata() or {}, read)


def _open_pickle(path: Path) -> WeightFile:
    content = _unpickled(path)
    wrapped = isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping)
    tensors = content["state_dict"] if wrapped else content if isinstance(content, Mapping) else {}
    weights = {_PREFIX.sub("", str(name)): value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(
            f"checkpoint {path}: expected a state dict of tensors, got {type(content).__name__} without any"
        )

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        return weights[name].to(dtype) if _converts(weights[name], dtype) else weights[name]

    plain = {str(name): str(value) for name, value in content.items() if isinstance(value, (int, float, str))}
    try:
        entries = {name: value.to("meta") for name, value in weights.items()}
    except RuntimeError as error:  # quantized tensors, for one, have no shape without content
        raise _damaged(path, error) from error
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
            name = wanted[1] if wanted else _foreign_import(path)
            if name is None:
                raise ValueError(
                    f"checkpoint {path}: expected a state dict of tensors as torch.save writes it, got {_other(path)}"
                ) from error
            harmless = _LIGHTNING_CLASS.fullmatch(name) is not None and name not in inert
            if not harmless or _SAFE_GLOBALS is None:
                hint = ": PyTorch 2.5 or newer can read past it" if harmless else ""
                raise ValueError(
                    f"checkpoint {path}: refused, it holds more than tensors and could run code ({name}{hint})"
                ) from error
            inert[name] = _stand_in(name)
        except _DAMAGED as error:
            raise _damaged(path, error) from error


def _foreign_import(path: Path) -> str | None:
    """Find the first import of a pickle that tensors do not need, without running anything; None if there is none.

    PyTorch's reader does not name the import if it stops earlier, at an instruction that it does not know.
    """
    with contextlib.ExitStack() as opened, contextlib.suppress(*_DAMAGED, pickle.UnpicklingError):
        if zipfile.is_zipfile(path):
            archive = opened.enter_context(zipfile.ZipFile(path))
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            stream: IO[bytes] = opened.enter_context(archive.open(member))
        else:
            stream = opened.enter_context(path.open("rb"))
        while True:  # an old file is several pickles in a row; an error ends the loop after the last one
            try:
                _ImportFinder(stream, encoding="latin-1").load()
            except _ForeignImport as found:
                return str(found)
    return None


class _ForeignImport(Exception):
    """The name of an import that tensors do not need, such as ``posix.system``."""


# Python's implementation has a dictionary as its memo. The one in C allocates as many entries as the highest index that
# a pickle names.
class _ImportFinder(pickle._Unpickler):
    """An unpickler that imports nothing: an empty dictionary stands in for everything that tensors consist of."""

    def find_class(self, module_name: str, global_name: str) -> type:
        name = f"{module_name}.{global_name}"
        if not _OF_TENSORS.fullmatch(name):
            raise _ForeignImport(name)
        return type(global_name, (dict,), {"__init__": lambda self, *arguments: None})

    def persistent_load(self, pid: object) -> None:
        """Read no tensor content."""


def _other(path: Path) -> str:
    """What a file is that is no pickle of tensors, in a few words."""
    with path.open("rb") as file:
        start = file.read(24)
    return "another pickle" if start[:1] == b"\x80" or start[:2] == b"PK" else f"a file that begins with {start!r}"


def _damaged(path: Path, error: Exception) -> ValueError:
    # the first sentence: PyTorch's further ones advise to read such files without its safety
    reason = re.split(r"(?<=\S)\. ", str(error).splitlines()[0])[0] if str(error) else type(error).__name__
    return ValueError(f"checkpoint {path}: expected a whole safetensors or PyTorch file, got {reason}")


def _stand_in(name: str) -> type:
    """An empty class that passes for Lightning's of this name while a file is read: nothing of Lightning is run.

    A pickle that calls it, as it would a function of such a name, is refused by the name.
    """

    def refuse(self: object, *arguments: object) -> None:
        raise pickle.UnpicklingError(f"GLOBAL {name}")

    module, _, short = name.rpartition(".")
    return type(short, (), {"__module__": module, "__init__": refuse})
