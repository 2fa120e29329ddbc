"""Read weight files without executing code: safetensors, Lightning files, state dicts."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ["SCALE_SUFFIX", "WeightFile", "open_weights", "printable"]

SCALE_SUFFIX = ".scale"  # NAME.scale: (rows,) float32, what the rows of an int8 entry NAME are multiplied by

# The prefixes of DistributedDataParallel, of Lightning modules that hold a network, and of the authors' module.
_PREFIX = re.compile(r"^((module|model|net)\.)+")
# What torch.compile, FSDP and activation checkpointing put before the entries of any part of a network.
_WRAPPER = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_STATE_DICTS = ("state_dict", "model_state_dict", "model", "module")  # where training code puts the entries
_TENSOR_IMPORTS = re.compile(r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.\w+Storage")
# Objects next to the tensors are skipped: empty classes replace theirs. Pickles may also call these names; calls of
# others are rejected, because a call is how a pickle executes code.
_SKIPPED_CALLS = re.compile(
    r"numpy\._?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)|numpy\.(dtype|ndarray|dtypes\.\w+)"
    r"|numpy\.random\.[\w.]+|pathlib\.([\w.]+\.)?\w*Path|argparse\.Namespace|types\.SimpleNamespace"
    r"|datetime\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID|functools\.partial|copyreg\._reconstructor"
    r"|collections\.(defaultdict|deque)|frozenset|range|slice|torch\.torch_version\.TorchVersion"
)
_CONTAINERS = {"SETITEM": OrderedDict, "append to lists": list}  # by PyTorch's error about filling a placeholder
_REMEDY = "where the file was made, `torch.save(model.state_dict(), FILE)` saves the weights alone"
_MAX_SKIPPED = 100  # classes
_MAX_PICKLE_BYTES = 4 << 20  # without the tensors: 10 times the largest official layout with an optimizer
_MAX_HEADER_BYTES = 16 << 20  # of safetensors: names, shapes and metadata
_MAX_SHARING = 4  # size of all tensors, relative to that of the file
# What readers raise for missing or wrong bytes; the documentation of pickle does not limit it.
_DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
    RecursionError, RuntimeError, SafetensorError, TypeError, ValueError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
_SAFE_GLOBALS = getattr(torch.serialization, "safe_globals", None)  # since PyTorch 2.5


@dataclass(frozen=True, eq=False)
class WeightFile:
    """An open weight file.

    Attributes:
        path: The file.
        kind: "safetensors", "Lightning checkpoint", "training checkpoint" or "state dict".
        entries: Key without prefixes such as ``module.`` -> tensor on the meta device, for shape and dtype.
        metadata: Metadata of a safetensors file, or the numbers and texts next to the tensors in a pickle.
        read: Reads a tensor, given its key and a dtype (None keeps that of the file). A tensor whose dtype does not
            change is memory-mapped, not copied. Raises ValueError if a value is not finite or a
            variance negative.
        quantized: Keys of the entries that are stored as 8-bit integers with a scale per row.
    """

    path: Path
    kind: str
    entries: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    read: Callable[[str, torch.dtype | None], Tensor]
    quantized: frozenset[str] = frozenset()


def open_weights(path: Path) -> WeightFile:
    """Open a weight file. Its sizes are checked before anything is decoded.

    Raises:
        ValueError: If the file is truncated, no weight file, or could execute code.
    """
    return _open_safetensors(path) if path.suffix == ".safetensors" else _open_pickle(path)


def printable(text: str, length: int = 160) -> str:
    """Shorten a text from a file, and escape line breaks and control characters."""
    shown = text if len(text) <= length else f"{text[:length]}..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def _open_safetensors(path: Path) -> WeightFile:
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > _MAX_HEADER_BYTES:
            raise ValueError(f"a header of {header_bytes} bytes, above the limit of {_MAX_HEADER_BYTES}")
        shared = safe_open(path, framework="pt")
        stored = set(shared.keys())
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    scaled = {name for name in stored if name + SCALE_SUFFIX in stored}
    names = _without_prefixes(path, sorted(stored - {name + SCALE_SUFFIX for name in scaled}))
    try:
        entries = {name: shared.get_tensor(key).to("meta") for name, key in names.items()}
        for name, key in names.items():
            if key in scaled:
                entries[name] = _restored_entry(entries[name], shared.get_tensor(key + SCALE_SUFFIX))
    except _DAMAGED as error:
        raise _damaged(path, error) from error

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        if names[name] in scaled:
            value, scale = (shared.get_tensor(names[name] + suffix) for suffix in ("", SCALE_SUFFIX))
            return _check_values(path, name, _restore(value, scale).to(dtype or torch.float32))
        if not _converts(entries[name], dtype):
            return _check_values(path, name, shared.get_tensor(names[name]))
        with safe_open(path, framework="pt") as own:  # a separate mapping, whose memory is freed afterwards
            return _check_values(path, name, own.get_tensor(names[name]).to(dtype))

    quantized = frozenset(name for name, key in names.items() if key in scaled)
    return WeightFile(path, "safetensors", entries, shared.metadata() or {}, read, quantized)


def _open_pickle(path: Path) -> WeightFile:
    content = _load_pickle(path)
    fields = content if isinstance(content, Mapping) else {}
    place = next((name for name in _STATE_DICTS if isinstance(fields.get(name), Mapping)), None)
    found = fields[place] if place else fields
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(
            f"checkpoint {path}: expected a state dict of tensors, got {type(content).__name__} without any; {_REMEDY}"
        )
    scaled = {name for name in tensors if name + SCALE_SUFFIX in tensors}
    excluded = {name + SCALE_SUFFIX for name in scaled}
    names = _without_prefixes(path, (name for name in tensors if name not in excluded))  # in the order of the file
    weights = {name: tensors[key] for name, key in names.items()}
    scales = {name: tensors[key + SCALE_SUFFIX] for name, key in names.items() if key in scaled}
    try:
        complete = {name: value.untyped_storage().nbytes() >= value.nbytes for name, value in weights.items()}
        entries = {name: value.to("meta") for name, value in weights.items()}
        entries |= {name: _restored_entry(entries[name], scale) for name, scale in scales.items()}
    except (RuntimeError, ValueError) as error:  # for example sparse and quantized tensors
        raise _damaged(path, error) from error
    total, size = sum(weights[name].nbytes for name in weights if complete[name]), path.stat().st_size
    if total > _MAX_SHARING * size:
        raise ValueError(
            f"checkpoint {path}: expected tensors of about {size} bytes, the size of the file, got {total}"
        )

    def read(name: str, dtype: torch.dtype | None) -> Tensor:
        if not complete[name]:  # a value that is repeated, as in entries that no network uses
            raise ValueError(f"checkpoint {path}: {name}: expected {weights[name].numel()} stored values, got fewer")
        value = _restore(weights[name], scales[name]) if name in scales else weights[name]
        return _check_values(path, name, value.to(dtype) if _converts(value, dtype) else value)

    plain = {str(name): str(value) for name, value in fields.items() if isinstance(value, (int, float, str))}
    kinds = {None: "state dict", "state_dict": "Lightning checkpoint"}
    return WeightFile(path, kinds.get(place, "training checkpoint"), entries, plain, read, frozenset(scales))


def _restore(value: Tensor, scale: Tensor) -> Tensor:
    """(rows, ...) int8 and (rows,) float32 -> (rows, ...) float32."""
    return value * scale.view(-1, *[1] * (value.ndim - 1))


def _restored_entry(value: Tensor, scale: Tensor) -> Tensor:
    """Return the float32 entry on the meta device that int8 rows and their scale stand for.

    Raises:
        ValueError: They do not belong together.
    """
    if value.dtype != torch.int8 or value.ndim < 2 or scale.dtype != torch.float32 or scale.shape != value.shape[:1]:
        raise ValueError(
            f"{value.dtype} of shape {tuple(value.shape)} with a scale of {scale.dtype} of shape {tuple(scale.shape)}"
        )
    return value.float()


def _without_prefixes(path: Path, stored: Iterable[str]) -> dict[str, str]:
    """Return the keys of a file by their names without prefixes."""
    names: dict[str, str] = {}
    for key in stored:
        name = _PREFIX.sub("", _WRAPPER.sub("", key))
        if name in names:
            raise ValueError(
                f"checkpoint {path}: expected one network, got the entry {printable(name)} twice, "
                f"as {printable(names[name])} and {printable(key)}"
            )
        names[name] = key
    return names


def _check_values(path: Path, name: str, value: Tensor) -> Tensor:
    """Return the tensor if its values are finite, and variances not negative.

    The check takes no memory.
    """
    if value.is_floating_point() and value.numel():
        low, high = (value if value.element_size() > 1 else value.float()).aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            got = low if torch.isnan(low) or torch.isinf(low) else high
            raise ValueError(f"checkpoint {path}: {printable(name)}: expected finite values, got {got.item()}")
        if name.endswith("running_var") and low < 0:
            raise ValueError(
                f"checkpoint {path}: {printable(name)}: expected variances of at least 0, got {low.item()}"
            )
    return value


def _converts(entry: Tensor, dtype: torch.dtype | None) -> bool:
    return dtype is not None and entry.is_floating_point() and entry.dtype != dtype


def _load_pickle(path: Path) -> Any:
    """Read tensors, numbers, texts and containers of them.

    Objects of other classes are skipped. A pickle that calls anything is rejected, except for classes such as NumPy's
    numbers, which are not called either.
    """
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        _check_archive(path)
    placeholders: dict[str, type] = {}
    tried: set[tuple[str, type]] = set()
    while True:
        allowed = (
            _SAFE_GLOBALS(list(placeholders.values())) if _SAFE_GLOBALS and placeholders else contextlib.nullcontext()
        )
        try:
            with allowed:
                if is_zip:
                    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
                with _BoundedReader(io.FileIO(path)) as file:  # from before torch 1.6, cannot be mapped
                    return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            imported = re.search(r"(?:GLOBAL |class ')([^\s']+)", str(error))
            name = imported[1] if imported else _foreign_import(path)
            if name is None:
                raise ValueError(
                    f"checkpoint {path}: expected a state dict written by torch.save, got {_describe_file(path)}; "
                    f"{_REMEDY}"
                ) from error
            container = next((kind for text, kind in _CONTAINERS.items() if text in str(error)), object)
            if _SAFE_GLOBALS is None or (name, container) in tried or not _can_skip(name, len(tried)):
                hint = "PyTorch 2.5 or newer may skip it, or " if _SAFE_GLOBALS is None else ""
                raise ValueError(
                    f"checkpoint {path}: expected only tensors, got {printable(name)}, which could execute code; "
                    f"{hint}{_REMEDY}"
                ) from error
            tried.add((name, container))
            placeholders[name] = _placeholder(name, container)
        except _DAMAGED as error:
            raise _damaged(path, error) from error


def _check_archive(path: Path) -> None:
    """Check that a zip archive is not compressed, and that its pickle is short."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(
                f"checkpoint {path}: expected an archive without compression, as torch.save writes it, "
                f"got a compressed {printable(member.filename)} of {member.file_size} bytes"
            )
        if member.filename.endswith(".pkl") and member.file_size > _MAX_PICKLE_BYTES:
            raise ValueError(
                f"checkpoint {path}: expected at most {_MAX_PICKLE_BYTES} bytes next to the tensors, "
                f"got {member.file_size}; {_REMEDY}"
            )


class _BoundedReader(io.BufferedReader):
    """A file whose pickles may not be longer than those of an archive.

    PyTorch reads a pickle byte by byte and the tensors in one piece.
    """

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > _MAX_PICKLE_BYTES:
            raise ValueError(f"more than {_MAX_PICKLE_BYTES} bytes next to the tensors")
        return super().read(size)


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
            stream = opened.enter_context(_BoundedReader(io.FileIO(path)))
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
    return ValueError(f"checkpoint {path}: expected a complete safetensors or PyTorch file, got {printable(reason)}")


def _can_skip(name: str, skipped: int) -> bool:
    return skipped < _MAX_SKIPPED and name.isascii() and re.fullmatch(r"\w+(\.\w+)*", name) is not None


def _placeholder(name: str, container: type) -> type:
    """Build a class that replaces the class or function of this name, and keeps nothing.

    A pickle that calls it, as it would call a function, is rejected unless ``_SKIPPED_CALLS`` lists the name. PyTorch
    fills only plain containers, so objects that are filled become an OrderedDict or a list.
    """

    def call(self: object, *arguments: object) -> None:  # not used when pickle creates an object without a call
        if not _SKIPPED_CALLS.fullmatch(name):
            raise pickle.UnpicklingError(f"GLOBAL {name}")

    module_name, _, class_name = name.rpartition(".")
    content = {
        "__module__": module_name or "builtins",
        "__new__": lambda cls, *arguments: object.__new__(cls) if container is object else container(),
        "__init__": call,
        "__setstate__": lambda self, state: None,
    }
    return type(class_name, (), content)
