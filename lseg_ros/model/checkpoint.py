"""Load and save checkpoints: the authors' files, bare state dicts and safetensors.

All of them have the authors' key names. Files are memory-mapped: an entry that is not read costs no memory. A file must
therefore not be overwritten in place while its network is in use. The functions here write a new file and rename it.
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
from torch import Tensor, nn

from lseg_ros.model import key_mapping, pretrained
from lseg_ros.model.backbone import build_backbone
from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.lseg import LSeg
from lseg_ros.model.open_clip_tower import build_text_encoder
from lseg_ros.model.text_encoder import TextConfig
from lseg_ros.model.weight_files import SCALE_SUFFIX, WeightFile, open_weights, printable

__all__ = [
    "WEIGHTS",
    "check_entries",
    "find_checkpoint",
    "load_lseg",
    "read_config",
    "read_text_config",
    "save_lseg",
    "save_official",
]

WEIGHTS = Path(__file__).parent / "weights"  # weights in the package: one file per trained preset
logger = logging.getLogger(__name__)


def load_lseg(
    path_or_preset: str | Path,
    *,
    arch_option: int | None = None,
    block_depth: int | None = None,
    activation: str | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> LSeg:
    """Load a network in eval mode on the CPU. Code in a file is never executed.

    The options of the paper's spatial regularization (section 3.4) replace those of the file. Weights do not show
    ``block_depth`` and ``activation``, and those of options 1 and 2 look the same (1 is assumed).

    Args:
        path_or_preset: A checkpoint (the authors' Lightning file, a state dict, or safetensors), the name of one of the
            authors' files that ``lseg checkpoint fetch`` has downloaded, or a preset. Presets without weights in the
            package (all but ``demo``) get random weights, with a warning in the log.
        arch_option: Spatial regularization: 0 none, 1 bottleneck, 2 depthwise.
        block_depth: Rounds of the spatial regularization.
        activation: Activation of the spatial regularization: lrelu, tanh or relu.
        dtype: Dtype of floating point entries. None keeps the dtypes of the file, so that a float16 file is not held at
            twice its size; such a network runs after it is moved to a single dtype.

    Raises:
        FileNotFoundError: If there is no such file or preset.
        ValueError: If the file is damaged, could execute code, or is not an LSeg network.
    """
    choice = {"arch_option": arch_option, "block_depth": block_depth, "activation": activation}
    changes: dict[str, Any] = {field: value for field, value in choice.items() if value is not None}
    name = str(path_or_preset)
    if name in PRESETS and not _packaged_file(name).exists():
        return _random_network(name, dataclasses.replace(PRESETS[name], **changes))
    weights = open_weights(find_checkpoint(path_or_preset))
    return _build_network(dataclasses.replace(read_config(weights), **changes), weights, dtype)


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return the file that ``load_lseg`` reads for a path or name.

    Args:
        path_or_name: A path, a preset, or the name of one of the authors' files.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    name, path = str(path_or_name), Path(path_or_name).expanduser()
    if name in PRESETS and _packaged_file(name).exists():
        return _packaged_file(name)
    if path.is_file():
        return path
    if name in pretrained.FILES:
        return pretrained.find_cached(name)
    if name in PRESETS:
        raise FileNotFoundError(f"checkpoint: expected a file, got the preset {name!r}, which comes without weights")
    raise FileNotFoundError(f"checkpoint: expected a file or one of the presets {', '.join(PRESETS)}, got {name!r}")


def read_config(weights: WeightFile) -> LSegConfig:
    """Read the architecture of a file.

    It is in the metadata of a safetensors file; otherwise the key names and shapes imply it.

    Raises:
        ValueError: If it is not an LSeg network; the message lists the differences from the nearest preset.
    """
    if weights.kind == "safetensors" and "config" in weights.metadata:
        try:
            return _config_from_json(weights.metadata["config"])
        except ValueError as error:
            raise ValueError(f"checkpoint {weights.path}: metadata: config.{error}") from error
    try:
        return key_mapping.config_from_keys(weights.entries)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        check_entries(PRESETS[key_mapping.nearest_preset(weights.entries)[0]], weights)
        raise ValueError(f"checkpoint {weights.path}: expected the architecture of an LSeg, got {error}") from error


def read_text_config(weights: WeightFile) -> TextConfig | None:
    """Read the architecture of the text encoder from the metadata of a file.

    Returns:
        The architecture, or None if the metadata do not contain it.

    Raises:
        ValueError: If the metadata are not valid.
    """
    if "text_config" in weights.metadata:
        try:
            return TextConfig(**_known_fields(TextConfig, _parse_json(weights.metadata["text_config"]), ""))
        except ValueError as error:
            raise ValueError(f"checkpoint {weights.path}: metadata: text_config.{error}") from error
    return read_config(weights).text if "config" in weights.metadata else None


def check_entries(config: LSegConfig, weights: WeightFile) -> None:
    """Check that a file has the entries of an architecture.

    Raises:
        ValueError: If entries are missing, unexpected or of another shape; the message lists them.
    """
    try:
        expected, found = key_mapping.expected_entries(config), weights.entries
    except ValueError as error:  # the metadata name a network that does not exist
        raise ValueError(f"checkpoint {weights.path}: {error}") from error
    except (ArithmeticError, AssertionError, RuntimeError, TypeError) as error:  # or sizes that cannot be combined
        reason = printable(str(error) or type(error).__name__)
        raise ValueError(f"checkpoint {weights.path}: expected sizes of a network, got {reason}") from error
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    misshapen = [
        f"{printable(name)}: expected shape {tuple(expected[name].shape)}, got {tuple(found[name].shape)}"
        for name in sorted(set(expected) & set(found))
        if expected[name].shape != found[name].shape
    ]
    differences = [
        _list_names("missing", sorted(needed - set(found))),
        _list_names(
            "unexpected", sorted(name for name in set(found) - set(expected) if not key_mapping.is_unused(name))
        ),
        _list_names("of another shape", misshapen),
    ]
    if any(differences):
        best, share = key_mapping.nearest_preset(found)
        fit = f"the nearest preset is {best} ({share:.1%} of its entries fit)"
        raise ValueError(
            f"checkpoint {weights.path}: expected the {len(needed)} entries of an LSeg network, got "
            f"{'; '.join(filter(None, differences))}; {fit if share else 'it shares no entry with any LSeg network'}"
        )


def save_lseg(
    model: LSeg,
    path: str | Path,
    *,
    half: bool = False,
    int8: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file atomically, with the authors' key names.

    The metadata contain the architecture.

    Args:
        model: The network.
        path: File to write.
        half: Store matrices and filters in float16. Norms, biases and statistics keep their dtype, and so do entries
            with values that float16 cannot hold.
        int8: Store matrices and filters as 8-bit integers with a scale for each row (output channel).
        metadata: Further metadata.
    """
    all_metadata = {"config": json.dumps(dataclasses.asdict(model.config)), **(metadata or {})}
    tensors = _official_tensors(model, half)
    if int8:
        for name in [name for name, value in tensors.items() if value.ndim >= 2]:
            tensors[name], tensors[name + SCALE_SUFFIX] = _quantize_rows(tensors[name])
    _write_atomically(Path(path), lambda part: save_file(tensors, part, metadata=all_metadata))


def _quantize_rows(value: Tensor) -> tuple[Tensor, Tensor]:
    """Round (rows, ...) to int8 and the (rows,) float32 scale that restores it."""
    scale = value.float().flatten(1).abs().amax(dim=1).clamp(min=1e-12) / 127  # (rows,)
    return (value.float() / scale.view(-1, *[1] * (value.ndim - 1))).round().to(torch.int8), scale


def save_official(
    model: LSeg, path: str | Path, *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file that the authors' code loads strictly.

    It contains a ``state_dict`` with the prefix ``net.`` and all entries. Entries without effect (CLIP's image tower,
    the ViT's classifier, one residual unit) are zeros that take no space.

    Args:
        model: The network.
        path: File to write.
        half: As in ``save_lseg``.
        metadata: As in ``save_lseg``.

    Raises:
        ValueError: If the authors have no such architecture.
    """
    zeros = {
        name: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for name, value in key_mapping.unused_entries(model.config).items()
    }
    tensors = {f"net.{name}": value for name, value in (_official_tensors(model, half) | zeros).items()}
    _write_atomically(Path(path), lambda part: torch.save({**(metadata or {}), "state_dict": tensors}, part))


def _official_tensors(model: LSeg, half: bool) -> dict[str, Tensor]:
    """Return the tensors to write, by official key."""
    limit = torch.finfo(torch.float16).max
    tensors = {}
    for name, value in model.state_dict().items():
        fits = half and value.ndim >= 2 and float(value.abs().max()) <= limit
        tensors[key_mapping.to_official_key(name, model.config)] = (value.half() if fits else value).contiguous().cpu()
    return tensors


def _write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        part.chmod(0o644)  # safetensors makes files private, but the node of a robot may run as another user
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _packaged_file(preset: str) -> Path:
    return WEIGHTS / f"{preset}.safetensors"


def _random_network(preset: str, config: LSegConfig) -> LSeg:
    logger.warning("%s: no weights in the package, using random weights: the masks will be meaningless", preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LSeg(config).eval()


def _build_network(config: LSegConfig, weights: WeightFile, dtype: torch.dtype | None) -> LSeg:
    check_entries(config, weights)
    with torch.device("meta"):
        model = LSeg(config)
    state: dict[str, Tensor] = {}
    for name, expected in model.state_dict().items():
        key = key_mapping.to_official_key(name, config)
        known = key in weights.entries  # num_batches_tracked may be missing
        state[name] = weights.read(key, dtype) if known else torch.tensor(0)
        if state[name].is_floating_point() != expected.is_floating_point() or state[name].is_complex():
            raise ValueError(f"checkpoint {weights.path}: {key}: expected real numbers, got {state[name].dtype}")
    model.load_state_dict(state, strict=True, assign=True)
    _restore_buffers(model.backbone, lambda: build_backbone(config))
    _restore_buffers(model.text_encoder, lambda: build_text_encoder(config.text))
    return model.eval()


def _restore_buffers(part: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Compute the buffers that checkpoints lack, such as position tables and masks."""
    missing = [name for name, value in part.named_buffers() if value.is_meta]
    if not missing:
        return
    with torch.random.fork_rng(devices=[]):
        computed = dict(build().named_buffers())
    for name in missing:
        module, _, buffer = name.rpartition(".")
        part.get_submodule(module).register_buffer(buffer, computed[name], persistent=False)


def _config_from_json(text: str) -> LSegConfig:
    """Parse the architecture in the metadata of a file; errors begin with the field.

    Raises:
        ValueError: If it is not the JSON of an architecture.
    """
    fields = _known_fields(LSegConfig, _parse_json(text), "")
    try:
        text_config = TextConfig(**_known_fields(TextConfig, fields["text"], "text."))
    except ValueError as error:
        prefix = "" if str(error).startswith("text") else "text."
        raise ValueError(f"{prefix}{error}") from error
    return LSegConfig(**{**fields, "text": text_config})


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"json: expected JSON, got {printable(str(error))}") from error


def _known_fields(kind: type, values: Any, prefix: str) -> dict[str, Any]:
    """Check the names of the fields of a data class, and convert lists to tuples."""
    if not isinstance(values, dict):
        raise ValueError(f"{prefix.rstrip('.') or 'json'}: expected names and values, got {printable(repr(values))}")
    fields = dataclasses.fields(kind)
    names = {field.name for field in fields}
    if unknown := sorted(values.keys() - names):
        raise ValueError(
            f"{prefix}{printable(unknown[0])}: expected one of the fields {', '.join(sorted(names))}; "
            "a newer version may have written the file"
        )
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in values:
            raise ValueError(f"{prefix}{field.name}: expected a value, got none")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _list_names(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{len(names)} {what} ({', '.join(map(printable, names[:4]))}{more})" if names else ""
