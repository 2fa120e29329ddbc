"""Read weight files without executing code: safetensors, Lightning files, state dicts."""

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

# Lightning before 1.5 stores the state of callbacks by their classes. Only the names of these classes are read.
_LIGHTNING_CLASS = re.compile(r"(pytorch_lightning|lightning)\.[\w.]+")
_TENSOR_IMPORTS = re.compile(r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.\w+Storage")
# The prefix of DistributedDataParallel, and that of the network in the authors' Lightning module.
_PREFIX = re.compile(r"^(module\.)?(net\.)?")
# What readers raise for missing or wrong bytes; the documentation of pickle does not limit it.
_DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SafetensorError, TypeError, ValueError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
_SAFE_GLOBALS = getattr(torch.serialization, "safe_globals", None)  # since PyTorch 2.5


@dataclass(frozen=True, eq=False)
class WeightFile:
    """An open weight file.

    Attributes:
        path: The file.
        kind: "safetensors", "Lightning checkpoint" or "state dict".
        entries: Key without the prefixes ``module.`` and ``net.`` -> tensor on the meta device, for shape and dtype.
        metadata: Metadata of a safetensors file, or the numbers and texts next to the tensors in a Lightning file.
        read: Reads a tensor, given its key and a dtype (None keeps that of the file). A tensor whose dtype does not
            change is memory-mapped, not copied.
    """

    path: Path
    kind: str
    entries: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    read: Callable[[str, torch.dtype | None], Tensor]


def open_weights(path: Path) -> WeightFile:
    """Open a weight file.

    Raises:
        ValueError: If the file is truncated, no weight file, or could execute code.
    """
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
        with safe_open(path, framework="pt") as own:  # a separate mapping, whose memory is freed afterwards
            return own.get_tensor(names[name]).to(dtype)

    return WeightFile(path, "safetensors", entries, shared.metadata() or {}, read)


def _open_pickle(path: Path) -> WeightFile:
    content = _load_pickle(path)
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
    except RuntimeError as error:  # for example quantized tensors, which cannot be on the meta device
        raise _damaged(path, error) from error
    return WeightFile(path, "Lightning checkpoint" if wrapped else "state dict", entries, plain, read)


def _converts(entry: Tensor, dtype: torch.dtype | None) -> bool:
    return dtype is not None and entry.is_floating_point() and entry.dtype != dtype


def _load_pickle(path: Path) -> Any:
    """Read tensors, numbers, texts and containers of them.

    A pickle that imports anything else is rejected. Only classes of Lightning are replaced by placeholders.
    """
    placeholders: dict[str, type] = {}
    while True:
        allowed = (
            _SAFE_GLOBALS(list(placeholders.values())) if _SAFE_GLOBALS and placeholders else contextlib.nullcontext()
        )
        try:
            with allowed:
                # Files from before torch 1.6 are not zip archives and cannot be mapped.
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as error:
            imported = re.search(r"(?:GLOBAL|class) (\S+)", str(error))
            name = imported[1] if imported else _foreign_import(path)
            if name is None:
                raise ValueError(
                    f"checkpoint {path}: expected a state dict written by torch.save, got {_describe_file(path)}"
                ) from error
            harmless = _LIGHTNING_CLASS.fullmatch(name) is not None and name not in placeholders
            if not harmless or _SAFE_GLOBALS is None:
                hint = " (PyTorch 2.5 or newer can skip it)" if harmless else ""
                raise ValueError(
                    f"checkpoint {path}: expected only tensors, got {name}, which could execute code{hint}"
                ) from error
            placeholders[name] = _placeholder(name)
        except _DAMAGED as error:
            raise _damaged(path, error) from error


def _foreign_import(path: Path) -> str | None:
    """Find the first import of a pickle that tensors do not need, without running anything.

    PyTorch's reader does not name the import if it stops earlier, at an instruction that it does not know.

    Returns:
        The full name of the import, or None.
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
    """An unpickler that imports nothing and reads objects of tensors as empty dictionaries."""

    def find_class(self, module_name: str, global_name: str) -> type:
        name = f"{module_name}.{global_name}"
        if not _TENSOR_IMPORTS.fullmatch(name):
            raise _ForeignImport(name)
        return type(global_name, (dict,), {"__init__": lambda self, *arguments: None})

    def persistent_load(self, pid: object) -> None:
        """Read no tensor content."""


def _describe_file(path: Path) -> str:
    """Describe a file that is not a pickle of tensors, in a few words."""
    with path.open("rb") as file:
        start = file.read(24)
    return "another pickle" if start[:1] == b"\x80" or start[:2] == b"PK" else f"a file that begins with {start!r}"


def _damaged(path: Path, error: Exception) -> ValueError:
    # Only the first sentence: the others advise turning the safety off.
    reason = re.split(r"(?<=\S)\. ", str(error).splitlines()[0])[0] if str(error) else type(error).__name__
    return ValueError(f"checkpoint {path}: expected a complete safetensors or PyTorch file, got {reason}")


def _placeholder(name: str) -> type:
    """Build an empty class to replace the Lightning class of this name.

    A pickle that calls it, as it would call a function, is rejected.
    """

    def reject(self: object, *arguments: object) -> None:
        raise pickle.UnpicklingError(f"GLOBAL {name}")

    module_name, _, class_name = name.rpartition(".")
    return type(class_name, (), {"__module__": module_name, "__init__": reject})
