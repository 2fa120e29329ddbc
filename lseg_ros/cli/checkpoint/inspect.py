"""``lseg checkpoint inspect``: show the contents of a checkpoint."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro
from torch import Tensor

from lseg_ros.model import PRESETS, LSegConfig
from lseg_ros.model.checkpoint import check_entries, find_checkpoint, read_config
from lseg_ros.model.key_mapping import is_unused
from lseg_ros.model.provenance import TrainingSet, read_training_data
from lseg_ros.model.weight_files import WeightFile, open_weights, printable
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "InspectSettings", "run"]

_PARTS = {  # prefixes of entry names, the longer ones first
    "clip_pretrained.visual.": "image tower of CLIP",
    "clip_pretrained.": "text encoder",
    "pretrained.act_postprocess": "readout and reassemble",
    "pretrained.": "image backbone",
    "scratch.": "decoder and head",
    "": "not part of LSeg",
}


@dataclass(frozen=True)
class InspectSettings:
    """Show the contents of a checkpoint.

    Prints its parts and their sizes, unused entries, the architecture, and the metadata with the license and the
    training data of the weights. Reads the authors' Lightning
    files, state dicts and safetensors. No code in the file is executed.
    """

    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")] = setting(  # noqa: RUF009 - a string is immutable
        "", "checkpoint: a file, or a name such as demo or demo_e200"
    )

    def __post_init__(self) -> None:
        check(self)


SETTINGS = InspectSettings


def run(settings: InspectSettings) -> int:
    """Print the contents of the checkpoint."""
    if not settings.file:
        raise ValueError("expected a checkpoint, got none")
    weights = open_weights(find_checkpoint(settings.file))
    print("\n".join(_table(weights)))  # before the check, because it helps if the file is not an LSeg network
    config = read_config(weights)
    check_entries(config, weights)
    for name in weights.entries:
        if not is_unused(name):
            weights.read(name, None)  # fails if a value is not finite
    print("\n".join(_architecture(config)))
    for name, value in sorted(weights.metadata.items()):
        if sets := read_training_data(weights.metadata, name) if name.endswith("training_data") else ():
            print("\n".join(_training_data(name, sets)))
        elif name != "config":
            print(f"{printable(name) + ':':<23} {printable(value, 96)}")
    return 0


def _table(weights: WeightFile) -> Iterator[str]:
    parts: dict[tuple[str, bool], list[Tensor]] = defaultdict(list)
    for name, value in weights.entries.items():
        part = next(part for prefix, part in _PARTS.items() if name.startswith(prefix))
        stored = value.to(torch.int8) if name in weights.quantized else value
        parts[part, is_unused(name)].append(stored)
    size = weights.path.stat().st_size
    yield f"{weights.path}: {weights.kind}, {_bytes(size)}"
    yield f"{'part':<32}{'entries':>8}{'values':>14}{'size':>12}  types"
    for (part, unused), values in sorted(parts.items(), key=lambda item: (item[0][1], -_size(item[1]))):
        yield _row(f"{part}{' (unused)' * unused}", values)
    if unused_values := [value for (_, unused), values in parts.items() if unused for value in values]:
        yield _row("unused in total", unused_values)
    other_bytes = size - sum(map(_size, parts.values()))
    if other_bytes > 1 << 20:
        yield f"{'other contents':<32}{'':>8}{'':>14}{_bytes(other_bytes):>12}  such as the state of an optimizer"


def _row(part: str, values: list[Tensor]) -> str:
    types = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in values}))
    count = sum(value.numel() for value in values)
    return f"{part:<32}{len(values):>8}{count:>14,}{_bytes(_size(values)):>12}  {types}"


def _architecture(config: LSegConfig) -> Iterator[str]:
    plain = dataclasses.replace(config, arch_option=0, block_depth=0, activation="lrelu")
    names = [name for name, preset in PRESETS.items() if preset == plain]
    yield f"{'architecture:':<24}{' = '.join(names) or 'no preset'}"
    if config.timm:
        blocks = f"ViT, {config.depth} blocks of {config.width}" if config.depth else f"maps of {config.reassemble}"
        yield f"{'image backbone:':<24}{config.timm} of timm, {blocks}"
    elif config.resnet:
        yield f"{'image backbone:':<24}ResNet with {config.resnet} blocks"
    else:
        stem = f", stem of {config.stem} channels" if config.stem else ""
        yield (
            f"{'image backbone:':<24}ViT, {config.depth} blocks of {config.width}, patches of {config.patch_size} px, "
            f"pretrained at {config.pretrained_size} px{stem}"
        )
    text = config.text
    origin = f"{text.open_clip} of open_clip, " if text.open_clip else ""
    yield f"{'text encoder:':<24}{origin}{text.layers} blocks of {text.width}, at most {text.context_length} tokens"
    yield f"{'embeddings:':<24}{text.embed_dim} dimensions; decoder of {config.features} channels"
    yield f"{'image mean, std:':<24}{config.image_mean}, {config.image_std}"
    yield f"{'regularization:':<24}{_regularization(config)}"


def _training_data(name: str, sets: Sequence[TrainingSet]) -> Iterator[str]:
    for index, item in enumerate(sets):
        title = "" if index else f"{name.replace('_', ' ')}:"
        yield f"{title:<24}{printable(item.name)}, share {item.share:.1%}, license: {printable(item.license)}"


def _regularization(config: LSegConfig) -> str:
    kinds = ("none", "bottleneck", "depthwise")
    if not config.arch_option:
        return "none (arch_option 0)"
    return (
        f"{kinds[config.arch_option]} (arch_option {config.arch_option}), block_depth {config.block_depth}, "
        f"{config.activation}; official files do not store these, so set them when you load or convert one"
    )


def _size(values: list[Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in values)


def _bytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
