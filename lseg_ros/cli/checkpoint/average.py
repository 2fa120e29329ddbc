"""``lseg checkpoint average``: average the weights of several checkpoints."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

import lseg_ros
from lseg_ros.model import load_lseg
from lseg_ros.model.checkpoint import check_entries, find_checkpoint, read_config, save_lseg
from lseg_ros.model.key_mapping import is_unused
from lseg_ros.model.pretrained import sha256
from lseg_ros.model.provenance import merge_provenance
from lseg_ros.model.weight_files import WeightFile, open_weights
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "AverageSettings", "run"]


@dataclass(frozen=True)
class AverageSettings:
    """Average checkpoints of one architecture and write the result as safetensors.

    Useful for runs that share a starting point: their average often scores better than any of them. A file that is
    listed several times has a larger weight. Floating-point entries are averaged in float32 and written in the type
    they have in the first file. Integer entries must be equal in all files, except for the batch counters of batch
    normalization, which come from the first file. The metadata are those of the first file, without its validation
    scores, and list the names and sha256 of all sources with their licenses and training data. The file is written
    atomically.
    """

    sources: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="FILE [FILE ...]")] = setting(  # noqa: RUF009 - a tuple is immutable
        (), "two or more checkpoints to average, as files or names such as demo"
    )
    out: str = setting("", "file to write, .safetensors")

    def __post_init__(self) -> None:
        check(self)


SETTINGS = AverageSettings


def run(settings: AverageSettings) -> int:
    """Average the checkpoints, write the result, and print its name and sha256."""
    if len(settings.sources) < 2:
        raise ValueError(f"expected at least two checkpoints to average, got {len(settings.sources)}")
    if not settings.out.endswith(".safetensors"):
        raise ValueError(f"out: expected a file name that ends with .safetensors, got {settings.out!r}")
    paths = [find_checkpoint(source) for source in settings.sources]
    destination = Path(settings.out).expanduser()
    files = [open_weights(path) for path in paths]
    _check_same_architecture(files)
    models = [load_lseg(path, dtype=None) for path in paths]  # keeps the dtype of every entry
    averaged = average_states([(str(path), model.state_dict()) for path, model in zip(paths, models)])
    result = models[0]
    result.load_state_dict(averaged, assign=True)
    sources = [{"file": path.name, "sha256": sha256(path)} for path in paths]
    metadata = {name: value for name, value in files[0].metadata.items() if name not in ("config", "validation")}
    metadata |= merge_provenance([file.metadata for file in files])
    metadata |= {
        "sources": json.dumps(sources),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "tool": f"lseg_ros {lseg_ros.__version__}",
    }
    save_lseg(result, destination, metadata=metadata)
    print(f"{destination}: average of {len(paths)} checkpoints, sha256 {sha256(destination)}")
    return 0


def average_states(states: Sequence[tuple[str, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Average state dicts with the same entries.

    Args:
        states: Names of files with their state dicts.

    Returns:
        The mean of every floating-point entry, computed in float32, in the dtype of the first state dict.

    Raises:
        ValueError: An integer entry differs between two files.
    """
    (first_name, first), *others = states
    averaged = {}
    for name, value in first.items():
        if value.is_floating_point():
            total = value.float()
            for _, state in others:
                total = total + state[name].float()
            averaged[name] = (total / len(states)).to(value.dtype)
            continue
        averaged[name] = value
        for file, state in others:
            # Runs of different lengths count different numbers of batches; no output depends on the counter.
            if not name.endswith("num_batches_tracked") and not torch.equal(state[name], value):
                raise ValueError(f"{file}: {name}: expected the integers of {first_name}, got different ones")
    return averaged


def _check_same_architecture(files: Sequence[WeightFile]) -> None:
    """Raise ValueError that names the first file and entry that do not match the first file."""
    first = files[0]
    expected = _shapes(first)
    config = read_config(first)
    check_entries(config, first)
    for file in files[1:]:
        found = _shapes(file)
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                raise ValueError(f"{file.path}: expected the entries of {first.path}, got no {name}")
            if name not in expected:
                raise ValueError(f"{file.path}: expected the entries of {first.path}, got the additional {name}")
            if found[name] != expected[name]:
                raise ValueError(f"{file.path}: {name}: expected shape {expected[name]}, got {found[name]}")
        if (other := read_config(file)) != config:
            differing = next(name for name in vars(config) if getattr(config, name) != getattr(other, name))
            raise ValueError(
                f"{file.path}: {differing}: expected {getattr(config, differing)}, as in {first.path}, "
                f"got {getattr(other, differing)}"
            )


def _shapes(file: WeightFile) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(value.shape)
        for name, value in file.entries.items()
        if not is_unused(name) and not name.endswith("num_batches_tracked")  # older files lack the counters
    }
