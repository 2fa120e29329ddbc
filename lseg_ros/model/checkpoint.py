"""Checkpoints: the authors' files, bare state dicts and our safetensors, all in the official key layout.

On disk a network always has the authors' key names (``pretrained.*``, ``scratch.*``, ``clip_pretrained.*``, with or
without the prefix ``net.``); in memory it has ours. ``_OFFICIAL`` is the one translation between them.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.lseg import LSeg
from lseg_ros.model.text_encoder import TextConfig

__all__ = ["WEIGHTS", "load_lseg", "official_name", "save_lseg"]

WEIGHTS = Path(__file__).parent / "weights"  # what ships with the package: one file per trained preset
_LOG = logging.getLogger(__name__)

# our name -> the authors' name; levels count from 0 here and from 1 there
_OFFICIAL = [
    (r"backbone\.vit\.(.*)", r"pretrained.model.\1"),
    (r"backbone\.stem\.(.*)", r"pretrained.stem.\1"),  # not in any official network
    (r"backbone\.reassemble\.(\d+)\.readout\.(\w+)", r"pretrained.act_postprocess<\1>.0.project.0.\2"),
    (r"backbone\.reassemble\.(\d+)\.project\.(\w+)", r"pretrained.act_postprocess<\1>.3.\2"),
    (r"backbone\.reassemble\.(\d+)\.resample\.(\w+)", r"pretrained.act_postprocess<\1>.4.\2"),
    (r"decoder\.lateral\.(\d+)\.weight", r"scratch.layer<\1>_rn.weight"),
    (r"decoder\.fusion\.(\d+)\.lateral_unit\.(.*)", r"scratch.refinenet<\1>.resConfUnit1.\2"),
    (r"decoder\.fusion\.(\d+)\.refine_unit\.(.*)", r"scratch.refinenet<\1>.resConfUnit2.\2"),
    (r"decoder\.fusion\.(\d+)\.project\.(\w+)", r"scratch.refinenet<\1>.out_conv.\2"),
    (r"head\.(\w+)", r"scratch.head1.\1"),
    (r"regularization\.depthwise\.(\w+)", r"scratch.head_block.depthwise.depthwise.\1"),
    (r"text_encoder\.(.*)", r"clip_pretrained.\1"),
]

# in the authors' files, but without a part in inference: CLIP's image tower, the ViT's classifier, a dead unit
_UNUSED = re.compile(
    r"clip_pretrained\.(visual\.|logit_scale$)|pretrained\.model\.(head|norm)\.|scratch\.refinenet4\.resConfUnit1\."
)
_TAPS = {24: (5, 11, 17, 23), 12: (2, 5, 8, 11)}  # by number of blocks


def load_lseg(
    path_or_preset: str | Path,
    *,
    arch_option: int | None = None,
    block_depth: int | None = None,
    activation: str | None = None,
) -> LSeg:
    """A network in eval mode on the CPU, in float32.

    path_or_preset: a checkpoint (the authors' Lightning file, a state dict, or our safetensors), or a preset's name;
    a preset without weights in the package (all but ``demo``) gets random ones and says so in the log.
    arch_option, block_depth, activation: the paper's spatial regularisation, where a file cannot say it (block_depth
    and activation leave no trace in the weights). Never executes code from a file. Raises FileNotFoundError or
    ValueError that names what was expected.
    """
    choice = {"arch_option": arch_option, "block_depth": block_depth, "activation": activation}
    changes: dict[str, Any] = {name: value for name, value in choice.items() if value is not None}
    shipped = WEIGHTS / f"{path_or_preset}.safetensors"
    if str(path_or_preset) in PRESETS and not shipped.exists():
        return _random(str(path_or_preset), dataclasses.replace(PRESETS[str(path_or_preset)], **changes))
    path = shipped if shipped.exists() else Path(path_or_preset).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint: expected a file or one of the presets {', '.join(PRESETS)}, got {str(path_or_preset)!r}"
        )
    weights, metadata = _read(path)
    try:
        described = _config_from_json(metadata["config"]) if "config" in metadata else _config_from_keys(weights)
        return _assembled(dataclasses.replace(described, **changes), weights)
    except KeyError as error:
        raise ValueError(f"checkpoint {path}: expected the entry {error}{_nearest_preset(weights)}") from error
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path}: {error}{_nearest_preset(weights)}") from error


def save_lseg(model: LSeg, path: str | Path, *, half: bool = False, metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors in the official key layout, with the architecture in the metadata.

    half: matrices and filters in float16 (norms, biases and statistics stay float32). The file appears whole or not
    at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        official_name(name, model.config): (value.half() if half and value.ndim >= 2 else value).contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    facts = {"config": json.dumps(dataclasses.asdict(model.config)), **(metadata or {})}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata=facts)
    part.chmod(0o644)  # safetensors writes for its owner alone, but a robot's node may run as another user
    part.replace(path)


def official_name(name: str, config: LSegConfig) -> str:
    """One of our parameter names -> the authors' name of the same parameter."""
    first_reassembled = 4 - (2 if config.stem else 4)
    for pattern, template in _OFFICIAL:
        if match := re.fullmatch(pattern, name):
            official = match.expand(template)
            if level := re.search(r"<(\d+)>", official):
                count = int(level[1]) + 1 + first_reassembled * ("act_postprocess" in official)
                official = official.replace(level[0], str(count))
            return official
    raise KeyError(f"no official name for {name!r}")


def _random(preset: str, config: LSegConfig) -> LSeg:
    _LOG.warning("%s: no weights in the package, using random ones: the masks will mean nothing", preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LSeg(config).eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Official names (without ``net.``) -> tensors of a file, and the metadata of a safetensors file."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        # files of before torch 1.6 are no zip archives and cannot be mapped
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if wanted := re.search(r"GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"checkpoint {path}: refused, it holds more than tensors and could run code ({wanted[1]})"
            ) from error
        raise ValueError(f"checkpoint {path}: expected a state dict of tensors, got another pickle") from error
    except (SafetensorError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else "an empty one"
        raise ValueError(f"checkpoint {path}: expected a whole safetensors or PyTorch file, got {reason}") from error
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    weights = {str(name).removeprefix("net."): value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"checkpoint {path}: expected a state dict of tensors, got {type(content).__name__}")
    return weights, {}


def _assembled(config: LSegConfig, weights: Mapping[str, Tensor]) -> LSeg:
    """A network of these weights; ValueError that lists what is missing, unexpected or of another shape."""
    with torch.device("meta"):
        model = LSeg(config)
    ours = {official_name(name, config): name for name in model.state_dict()}
    needed = {official for official in ours if not official.endswith("num_batches_tracked")}
    missing = sorted(needed - set(weights))
    unexpected = sorted(name for name in set(weights) - set(ours) if not _UNUSED.match(name))
    if missing or unexpected:
        raise ValueError("; ".join(filter(None, (_listed("missing", missing), _listed("unexpected", unexpected)))))
    expected = model.state_dict()
    for official, name in ours.items():
        if official in weights and weights[official].shape != expected[name].shape:
            raise ValueError(
                f"{official}: expected shape {tuple(expected[name].shape)}, got {tuple(weights[official].shape)}"
            )
    state = {
        name: _full(weights.get(official, torch.tensor(0))) for official, name in ours.items()
    }  # 0: batches counted
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _config_from_json(text: str) -> LSegConfig:
    fields: dict[str, Any] = json.loads(text)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return LSegConfig(**{**fields, "text": TextConfig(**fields["text"])})


def _config_from_keys(weights: Mapping[str, Tensor]) -> LSegConfig:
    """The architecture of an official network, read off its shapes."""
    width = weights["pretrained.model.cls_token"].shape[-1]
    depth = _count(weights, r"pretrained\.model\.blocks\.(\d+)\.norm1\.weight")
    patch = weights["pretrained.model.patch_embed.proj.weight"].shape[-1]
    text_width = weights["clip_pretrained.ln_final.weight"].shape[0]
    return LSegConfig(
        width=width,
        depth=depth,
        heads=width // 64,
        taps=_TAPS[depth],
        reassemble=tuple(weights[f"pretrained.act_postprocess{level}.3.weight"].shape[0] for level in (1, 2, 3, 4)),
        patch_size=patch,
        pretrained_size=round((weights["pretrained.model.pos_embed"].shape[1] - 1) ** 0.5) * patch,
        features=weights["scratch.layer1_rn.weight"].shape[0],
        arch_option=1 if "scratch.head_block.depthwise.depthwise.weight" in weights else 0,
        text=TextConfig(
            width=text_width,
            heads=text_width // 64,
            layers=_count(weights, r"clip_pretrained\.transformer\.resblocks\.(\d+)\.ln_1\.weight"),
            context_length=weights["clip_pretrained.positional_embedding"].shape[0],
            embed_dim=weights["clip_pretrained.text_projection"].shape[1],
        ),
    )


def _count(weights: Iterable[str], pattern: str) -> int:
    return sum(1 for name in weights if re.fullmatch(pattern, name))


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{len(names)} {what} ({', '.join(names[:4])}{more})" if names else ""


def _nearest_preset(weights: Mapping[str, Tensor]) -> str:
    """Which preset shares the most entries (name and shape) with these weights, as the end of a sentence."""
    shares = {}
    for preset, config in PRESETS.items():
        with torch.device("meta"):
            expected = LSeg(config).state_dict()
        names = {official_name(name, config): value.shape for name, value in expected.items()}
        shares[preset] = sum(weights[name].shape == shape for name, shape in names.items() if name in weights) / len(
            names
        )
    best = max(shares, key=shares.__getitem__)
    if not shares[best]:
        return "; it shares no entry with any LSeg network"
    return f"; the nearest preset is {best} ({shares[best]:.0%} of its entries fit)"
