"""Checkpoints: the authors' files, bare state dicts and our safetensors, all in the official layout of names.

Files are mapped, not read: an entry that nobody looks at costs no memory. A file must therefore not be overwritten in
place while its network is in use (everything here writes a new one and renames it).
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lseg_ros.model import key_mapping, pretrained
from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.lseg import LSeg
from lseg_ros.model.text_encoder import TextConfig
from lseg_ros.model.weight_files import WeightFile, open_weights

__all__ = ["WEIGHTS", "check_entries", "find_checkpoint", "load_lseg", "read_config", "save_lseg", "save_official"]

WEIGHTS = Path(__file__).parent / "weights"  # what ships with the package: one file per trained preset
_LOG = logging.getLogger(__name__)


def load_lseg(
    path_or_preset: str | Path,
    *,
    arch_option: int | None = None,
    block_depth: int | None = None,
    activation: str | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> LSeg:
    """A network in eval mode on the CPU.

    path_or_preset: a checkpoint (the authors' Lightning file, a state dict, or our safetensors), the name of one of the
    authors' files that ``lseg checkpoint fetch`` has brought, or a preset's name; a preset without weights in the
    package (all but ``demo``) gets random ones and says so in the log.
    arch_option, block_depth, activation: the paper's spatial regularization, where a file cannot say it: block_depth
    and activation leave no trace in the weights, and options 1 and 2 leave the same one (1 is taken).
    dtype: None keeps each entry as the file has it, which spares a float16 file its doubling in memory; such a network
    runs once it is moved to one dtype.

    Never executes code from a file. Raises FileNotFoundError or ValueError that names what was expected.
    """
    choice = {"arch_option": arch_option, "block_depth": block_depth, "activation": activation}
    changes: dict[str, Any] = {field: value for field, value in choice.items() if value is not None}
    name = str(path_or_preset)
    if name in PRESETS and not _shipped(name).exists():
        return _random(name, dataclasses.replace(PRESETS[name], **changes))
    weights = open_weights(find_checkpoint(path_or_preset))
    return _assembled(dataclasses.replace(read_config(weights), **changes), weights, dtype)


def find_checkpoint(path_or_name: str | Path) -> Path:
    """The file that ``load_lseg`` reads for this; FileNotFoundError says what it could have been."""
    name, path = str(path_or_name), Path(path_or_name).expanduser()
    if name in PRESETS and _shipped(name).exists():
        return _shipped(name)
    if path.is_file():
        return path
    if name in pretrained.FILES:
        return pretrained.find_cached(name)
    if name in PRESETS:
        raise FileNotFoundError(f"checkpoint: expected a file, got the preset {name!r}, which comes without weights")
    raise FileNotFoundError(f"checkpoint: expected a file or one of the presets {', '.join(PRESETS)}, got {name!r}")


def read_config(weights: WeightFile) -> LSegConfig:
    """The architecture of a file, as its metadata or else its names tell it.

    Raises ValueError that says what the file lacks of the network that it is most like.
    """
    try:
        if "config" in weights.metadata:
            return _config_from_json(weights.metadata["config"])
        return key_mapping.config_from_keys(weights.entries)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        check_entries(PRESETS[key_mapping.nearest_preset(weights.entries)[0]], weights)
        raise ValueError(f"checkpoint {weights.path}: expected the architecture of an LSeg, got {error}") from error


def check_entries(config: LSegConfig, weights: WeightFile) -> None:
    """Raise ValueError that lists what is missing, unexpected or of another shape than this architecture's."""
    expected, found = key_mapping.expected_entries(config), weights.entries
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    misshapen = [
        f"{name}: expected shape {tuple(expected[name].shape)}, got {tuple(found[name].shape)}"
        for name in sorted(set(expected) & set(found))
        if expected[name].shape != found[name].shape
    ]
    faults = [
        _listed("missing", sorted(needed - set(found))),
        _listed("unexpected", sorted(name for name in set(found) - set(expected) if not key_mapping.is_unused(name))),
        _listed("of another shape", misshapen),
    ]
    if any(faults):
        best, share = key_mapping.nearest_preset(found)
        fit = f"the nearest preset is {best} ({share:.1%} of its entries fit)"
        raise ValueError(
            f"checkpoint {weights.path}: expected the {len(needed)} entries of an LSeg network, got "
            f"{'; '.join(filter(None, faults))}; {fit if share else 'it shares no entry with any LSeg network'}"
        )


def save_lseg(model: LSeg, path: str | Path, *, half: bool = False, metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors in the official layout, with the architecture in the metadata.

    half: matrices and filters in float16 (norms, biases and statistics stay as they are). The file appears whole or
    not at all.
    """
    facts = {"config": json.dumps(dataclasses.asdict(model.config)), **(metadata or {})}
    _write_whole(Path(path), lambda part: save_file(_official_tensors(model, half), part, metadata=facts))


def save_official(
    model: LSeg, path: str | Path, *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file that the authors' code loads strictly: ``state_dict``, prefix ``net.``, every entry it asks for.

    What no result depends on (CLIP's image tower, the ViT's classifier, one residual unit) is there as zeros that take
    no room. half, metadata: as in ``save_lseg``. Raises ValueError for an architecture that the authors have not.
    """
    zeros = {
        name: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for name, value in key_mapping.unused_entries(model.config).items()
    }
    tensors = {f"net.{name}": value for name, value in (_official_tensors(model, half) | zeros).items()}
    _write_whole(Path(path), lambda part: torch.save({**(metadata or {}), "state_dict": tensors}, part))


def _official_tensors(model: LSeg, half: bool) -> dict[str, Tensor]:
    """Official names -> tensors as they are to be written."""
    return {
        key_mapping.to_official_key(name, model.config): (value.half() if half and value.ndim >= 2 else value)
        .contiguous()
        .cpu()
        for name, value in model.state_dict().items()
    }


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        part.chmod(0o644)  # safetensors writes for its owner alone, but a robot's node may run as another user
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _shipped(preset: str) -> Path:
    return WEIGHTS / f"{preset}.safetensors"


def _random(preset: str, config: LSegConfig) -> LSeg:
    _LOG.warning("%s: no weights in the package, using random ones: the masks will mean nothing", preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LSeg(config).eval()


def _assembled(config: LSegConfig, weights: WeightFile, dtype: torch.dtype | None) -> LSeg:
    check_entries(config, weights)
    with torch.device("meta"):
        model = LSeg(config)
    state: dict[str, Tensor] = {}
    for name in model.state_dict():
        key = key_mapping.to_official_key(name, config)
        known = key in weights.entries  # a count of batches may be missing
        state[name] = weights.read(key, dtype) if known else torch.tensor(0)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def _config_from_json(text: str) -> LSegConfig:
    fields: dict[str, Any] = json.loads(text)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return LSegConfig(**{**fields, "text": TextConfig(**fields["text"])})


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{len(names)} {what} ({', '.join(names[:4])}{more})" if names else ""
