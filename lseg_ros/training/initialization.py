"""Initial weights of a run: random, an LSeg, an image backbone, a text encoder."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import timm
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from lseg_ros.model import PRESETS, LSeg, LSegConfig, load_lseg
from lseg_ros.model.checkpoint import WEIGHTS, find_checkpoint, read_config
from lseg_ros.model.text_encoder import TextConfig, TextEncoder
from lseg_ros.model.weight_files import open_weights
from lseg_ros.settings import check, setting

__all__ = ["InitializationConfig", "build_initial_network", "single_token_words"]

# timm's names of the backbones in the authors' lseg_vit.py and lseg_net_zs.py
_TIMM = {"vitl16": "vit_large_patch16_384", "vitb32": "vit_base_patch32_384", "zs_resnet101": "resnet101.tv_in1k"}
_CLIP = {512: "ViT-B-32", 768: "RN50x16"}  # by the width of the text encoder
_ANCHORS = 2000  # number of words that align two embedding spaces
_RESNET_STEM = {"conv1": "0.0", "bn1": "0.1", "layer1": "0.4", "layer2": "1", "layer3": "2", "layer4": "3"}


@dataclass(frozen=True)
class InitializationConfig:
    """Architecture and initial weights."""

    preset: str = setting(
        "",
        "architecture; empty: that of init, or demo without init; it may have more blocks than init, which then start "
        "as the identity",
        choices=("", *PRESETS),
    )
    init: str = setting("", "LSeg to continue from (fine-tuning): a file or a name such as demo; empty: random weights")
    backbone_weights: str = setting(
        "",
        "weights of the image backbone: a file with a state dict of timm, timm to download them, or random; empty: "
        "those of init, or without init those of timm if it has the architecture",
    )
    text_tower: str = setting(
        "",
        "weights of the text encoder: a file of a distilled encoder, an LSeg or a CLIP, or openai to download those of "
        "CLIP; empty: those of init, or without init those of the preset in the package, else openai",
    )
    arch_option: int = setting(
        -1,
        "spatial regularization: 0 none, 1 bottleneck, 2 depthwise; -1: that of init, or none",
        minimum=-1,
        maximum=2,
    )
    block_depth: int = setting(-1, "number of times the regularization is applied; -1: that of init, or 0", minimum=-1)
    activation: str = setting(
        "",
        "activation between the regularization blocks; empty: that of init, or lrelu",
        choices=("", "lrelu", "tanh", "relu"),
    )

    def __post_init__(self) -> None:
        check(self)


def build_initial_network(config: InitializationConfig) -> LSeg:
    """Build the network to train, with a frozen text encoder.

    Random weights use the global random generator of torch. If ``text_tower`` replaces the text encoder of ``init``,
    the head is rotated to the new embedding space, so that the network keeps what it has learned.

    Raises:
        FileNotFoundError: A file does not exist.
        ConnectionError: A download failed.
        ValueError: Weights do not fit the architecture; the message names the setting.
    """
    model = _build_from_init(config)
    preset = config.preset or "demo"
    packaged = preset if (WEIGHTS / f"{preset}.safetensors").exists() else "openai"
    backbone = config.backbone_weights or ("" if config.init else "timm" if _timm_name(model.config) else "random")
    text_tower = config.text_tower or ("" if config.init else packaged)
    if backbone not in ("", "random"):
        _load_backbone(model, backbone)
    if text_tower:
        before = _anchor_embeddings(model) if config.init else None
        _load_text_tower(model, text_tower)
        if before is not None:
            _align_head(model.head, before, _anchor_embeddings(model))
    model.text_encoder.requires_grad_(False)
    return model


def _build_from_init(config: InitializationConfig) -> LSeg:
    """Build the network of ``init`` and ``preset`` with the regularization of the settings."""
    options = {"arch_option": config.arch_option, "block_depth": config.block_depth}
    changes: dict[str, Any] = {name: value for name, value in options.items() if value >= 0}
    if config.activation:
        changes["activation"] = config.activation
    if not config.init:
        return LSeg(dataclasses.replace(PRESETS[config.preset or "demo"], **changes))
    found = read_config(open_weights(find_checkpoint(config.init)))
    plain = _without_regularization(found)
    wanted = PRESETS[config.preset] if config.preset else plain
    deeper = wanted.depth > found.depth
    may_differ = {"depth", "taps"} if deeper else set()
    if any(getattr(wanted, name) != getattr(plain, name) for name in vars(plain).keys() - may_differ):
        fitting = [name for name, preset in PRESETS.items() if preset == plain]
        expected = " = ".join(fitting) or "none, leave it empty"
        raise ValueError(
            f"preset: expected that of {config.init} ({expected}) or the same with more blocks, got {config.preset}"
        )
    target = dataclasses.replace(found, depth=wanted.depth, taps=wanted.taps, **changes)
    if not deeper and bool(target.arch_option) == bool(found.arch_option):
        return load_lseg(config.init, **changes)
    # The regularization is added with random weights or removed, or blocks are added.
    model = LSeg(target)
    model.load_state_dict(load_lseg(config.init).state_dict(), strict=False)
    if deeper:
        _initialize_as_identity(list(model.backbone.get_submodule("vit.blocks").children()), found.depth)
    return model


@torch.no_grad()
def _initialize_as_identity(blocks: Sequence[nn.Module], first: int) -> None:
    """Initialize the blocks from ``first`` on so that they do not change the output.

    Each becomes a copy of the block before ``first`` whose attention and MLP output zeros. The deeper network then
    computes the same as the original one, as in Net2Net (Chen et al., ICLR 2016).
    """
    for block in blocks[first:]:
        block.load_state_dict(blocks[first - 1].state_dict())
        for name in ("attn.proj", "mlp.fc2"):
            for parameter in block.get_submodule(name).parameters():
                parameter.zero_()


def _anchor_embeddings(model: LSeg) -> Tensor:
    """Encode words spread over CLIP's vocabulary: (texts, C) float64 of unit norm."""
    words = list(single_token_words())
    anchors = words[:: len(words) // _ANCHORS]
    parts = [model.encode_text(anchors[first : first + 128]) for first in range(0, len(anchors), 128)]
    return torch.cat(parts).double()


@torch.no_grad()
def _align_head(head: nn.Conv2d, before: Tensor, after: Tensor) -> None:
    """Rotate the output of a head to the space of a new text encoder.

    The rotation maps the old embeddings of some texts to the new ones as well as possible. This is the orthogonal
    Procrustes problem (Schönemann, Psychometrika 1966). An unconstrained least-squares map would stretch directions in
    which texts hardly differ but pixels do.

    Args:
        head: 1x1 convolution with C outputs, changed in place.
        before: (texts, C) embeddings in the space of the head.
        after: (texts, C) embeddings of the same texts in the new space.
    """
    if torch.equal(before, after):
        return
    left, _, right = torch.linalg.svd(before.T @ after)
    rotation = (left @ right).to(head.weight)  # (C, C), multiplies embeddings from the right
    head.weight.copy_(torch.einsum("ofhw,oc->cfhw", head.weight, rotation))
    assert head.bias is not None
    head.bias.copy_(head.bias @ rotation)


def _without_regularization(config: LSegConfig) -> LSegConfig:
    return dataclasses.replace(config, arch_option=0, block_depth=0, activation="lrelu")


def _load_backbone(model: LSeg, source: str) -> None:
    """Load weights of timm into the image backbone, without readout and reassemble stages."""
    if source == "timm":
        name = _timm_name(model.config)
        if name is None:
            raise ValueError("backbone_weights: expected a file, timm has no backbone of this architecture, got timm")
        description = f"backbone_weights: {name} of timm"
        weights = _download(description, lambda: timm.create_model(name, pretrained=True).state_dict())
    else:
        description, weights = f"backbone_weights: {source}", _read_state_dict(source)
    module: nn.Module = model.backbone
    if model.config.resnet:
        renamed = {_to_stage_name(name): value for name, value in weights.items()}
    else:
        module, renamed = model.backbone.get_submodule("vit"), dict(weights)
    _load(module, renamed, description)


def _timm_name(config: LSegConfig) -> str | None:
    """Return timm's name for the backbone of an architecture, or None if timm lacks it."""
    sizes = ("width", "depth", "heads", "patch_size", "pretrained_size", "stem", "resnet")
    matching = (name for name in _TIMM if all(getattr(PRESETS[name], size) == getattr(config, size) for size in sizes))
    return _TIMM.get(next(matching, ""))


def _to_stage_name(name: str) -> str:
    """Convert timm's name of a ResNet entry to ours: four stages, the stem in the first."""
    first, _, rest = name.partition(".")
    return f"stages.{_RESNET_STEM[first]}.{rest}" if first in _RESNET_STEM else name


def _load_text_tower(model: LSeg, source: str) -> None:
    """Load weights into the text encoder, which is rebuilt if they have another architecture."""
    if source == "openai":
        clip = _CLIP.get(model.config.text.width)
        if clip is None:
            raise ValueError("text_tower: expected a file, CLIP has no text encoder of this architecture, got openai")
        description = f"text_tower: {clip} of CLIP"
        weights = _download(description, lambda: open_clip.create_model(clip, pretrained="openai").state_dict())
    else:
        description, weights = f"text_tower: {source}", _read_state_dict(source)
        architecture = _read_text_config(source) or model.config.text
        embed_dim = model.config.text.embed_dim
        if architecture.embed_dim != embed_dim:
            raise ValueError(
                f"{description}: expected embeddings of {embed_dim} dimensions, got {architecture.embed_dim}"
            )
        if architecture != model.config.text:
            model.config = dataclasses.replace(model.config, text=architecture)
            model.text_encoder = TextEncoder(architecture)
    renamed = {name.removeprefix("clip_pretrained."): value for name, value in weights.items()}
    _load(model.text_encoder, renamed, description)


def _read_state_dict(source: str) -> dict[str, Tensor]:
    file = open_weights(find_checkpoint(source))
    return {name: file.read(name, None) for name in file.entries}


def _read_text_config(source: str) -> TextConfig | None:
    """Read the architecture of a text encoder from a file's metadata, or None without one."""
    metadata = open_weights(find_checkpoint(source)).metadata
    if "text_config" in metadata:
        return TextConfig(**json.loads(metadata["text_config"]))
    return TextConfig(**json.loads(metadata["config"])["text"]) if "config" in metadata else None


def _download(description: str, download: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    try:
        return download()
    except (OSError, RuntimeError) as error:  # what timm and open_clip raise without a network
        reason = " ".join(str(error).split())
        raise ConnectionError(f"{description} could not be downloaded, pass a file instead ({reason[:160]})") from error


@torch.no_grad()
def _load(module: nn.Module, weights: Mapping[str, Tensor], description: str) -> None:
    """Copy the entries of a module from weights, which may have more entries.

    Raises:
        ValueError: Entries are missing or have other shapes; the message lists the first three.
    """
    state = module.state_dict()
    needed = [name for name in state if not re.search(r"^reassemble\.|num_batches_tracked$", name)]
    faults = [f"{name} is missing" for name in needed if name not in weights]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(state[name].shape)}"
        for name in needed
        if name in weights and weights[name].shape != state[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(
            f"{description}: expected weights of this architecture, got others: {', '.join(faults[:3])}{more}"
        )
    for name in needed:
        state[name].copy_(weights[name])


def single_token_words() -> dict[str, int]:
    """Return the words that are a single token in CLIP's vocabulary, with their token ids."""
    encoder = SimpleTokenizer().encoder
    tokens = {token.removesuffix("</w>"): index for token, index in encoder.items() if token.endswith("</w>")}
    return {text: index for text, index in tokens.items() if text.isascii() and text.isalpha() and len(text) > 1}
