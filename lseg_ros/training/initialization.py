"""What a run starts from: random weights, an LSeg to go on with, a pretrained image backbone, a text tower."""

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

# of timm: what the authors' backbones were pretrained as (lseg.md 1.1)
_TIMM = {"vitl16": "vit_large_patch16_384", "vitb32": "vit_base_patch32_384", "zs_resnet101": "resnet101.tv_in1k"}
_CLIP = {512: "ViT-B-32", 768: "RN50x16"}  # by the width of the text tower
_VOCABULARY = 2000  # words that stand for all, where one text tower takes another's place
_RESNET_STEM = {"conv1": "0.0", "bn1": "0.1", "layer1": "0.4", "layer2": "1", "layer3": "2", "layer4": "3"}


@dataclass(frozen=True)
class InitializationConfig:
    """Architecture and first weights."""

    preset: str = setting(
        "",
        "architecture; empty: that of init, without init demo; with more blocks than init: they begin as if not there",
        choices=("", *PRESETS),
    )
    init: str = setting("", "LSeg to go on with (fine-tuning): a file or a name such as demo; empty: random weights")
    backbone_weights: str = setting(
        "",
        "of the image backbone: a state dict of timm's, timm for its own download, or random; empty: those of init, "
        "without init timm's where it has the architecture",
    )
    text_tower: str = setting(
        "",
        "text tower: a distilled tower, an LSeg checkpoint, a CLIP state dict, or openai for CLIP's own download; "
        "empty: that of init, without init that of the preset in the package, else openai",
    )
    arch_option: int = setting(
        -1, "spatial regularization: 0 none, 1 bottleneck, 2 depthwise; -1 as init or none", minimum=-1, maximum=2
    )
    block_depth: int = setting(-1, "rounds of the regularization; -1 is that of init, or none", minimum=-1)
    activation: str = setting(
        "", "activation between the rounds; empty is that of init, or lrelu", choices=("", "lrelu", "tanh", "relu")
    )

    def __post_init__(self) -> None:
        check(self)


def build_initial_network(config: InitializationConfig) -> LSeg:
    """The network to train, its text tower frozen; random weights are torch's next ones.

    Another text tower than that of ``init`` says everything in a space of its own: the head is turned to it, so that
    what the network knows is not lost.

    Raises FileNotFoundError, ConnectionError or ValueError that names the setting and what was expected of it.
    """
    model = _init(config)
    preset = config.preset or "demo"
    packaged = preset if (WEIGHTS / f"{preset}.safetensors").exists() else "openai"
    backbone = config.backbone_weights or ("" if config.init else "timm" if _timm_name(model.config) else "random")
    tower = config.text_tower or ("" if config.init else packaged)
    if backbone not in ("", "random"):
        _load_backbone(model, backbone)
    if tower:
        before = _anchor_embeddings(model) if config.init else None
        _load_text_tower(model, tower)
        if before is not None:
            _align_head(model.head, before, _anchor_embeddings(model))
    model.text_encoder.requires_grad_(False)
    return model


def _init(config: InitializationConfig) -> LSeg:
    asked = {"arch_option": config.arch_option, "block_depth": config.block_depth}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value >= 0}
    if config.activation:
        changes["activation"] = config.activation
    if not config.init:
        return LSeg(dataclasses.replace(PRESETS[config.preset or "demo"], **changes))
    found = read_config(open_weights(find_checkpoint(config.init)))
    plain = _plain(found)
    wanted = PRESETS[config.preset] if config.preset else plain
    deeper = wanted.depth > found.depth
    allowed = {"depth", "taps"} if deeper else set()
    if any(getattr(wanted, name) != getattr(plain, name) for name in vars(plain).keys() - allowed):
        fits = [name for name, preset in PRESETS.items() if preset == plain]
        expected = " = ".join(fits) or "none, leave it empty"
        raise ValueError(
            f"preset: expected that of {config.init} ({expected}) or the same with more blocks, got {config.preset}"
        )
    target = dataclasses.replace(found, depth=wanted.depth, taps=wanted.taps, **changes)
    if not deeper and bool(target.arch_option) == bool(found.arch_option):
        return load_lseg(config.init, **changes)
    # With a regularization that starts at random, or without the one that was there, or with further blocks.
    model = LSeg(target)
    model.load_state_dict(load_lseg(config.init).state_dict(), strict=False)
    if deeper:
        _initialize_as_identity(list(model.backbone.get_submodule("vit.blocks").children()), found.depth)
    return model


@torch.no_grad()
def _initialize_as_identity(blocks: Sequence[nn.Module], first: int) -> None:
    """Make the blocks from ``first`` on copies of the one before them that add nothing to its tokens: their attention
    and their MLP end in zeros (as in Net2Net, Chen et al., ICLR 2016, a deeper network that computes the same)."""
    for block in blocks[first:]:
        block.load_state_dict(blocks[first - 1].state_dict())
        for name in ("attn.proj", "mlp.fc2"):
            for parameter in block.get_submodule(name).parameters():
                parameter.zero_()


def _anchor_embeddings(model: LSeg) -> Tensor:
    """What the text tower says of words spread over CLIP's vocabulary: (texts, C) float64 of unit norm."""
    whole = list(single_token_words())
    chosen = whole[:: len(whole) // _VOCABULARY]
    parts = [model.encode_text(chosen[first : first + 128]) for first in range(0, len(chosen), 128)]
    return torch.cat(parts).double()


@torch.no_grad()
def _align_head(head: nn.Conv2d, before: Tensor, after: Tensor) -> None:
    """Turn what a head gives by the rotation that takes the texts' embeddings before nearest to those after.

    Orthogonal Procrustes (Schoenemann, Psychometrika 1966): a matrix of least squares would stretch directions in
    which texts hardly differ, and pixels do.
    """
    if torch.equal(before, after):
        return
    left, _, right = torch.linalg.svd(before.T @ after)
    rotation = (left @ right).to(head.weight)  # (C, C), behind an embedding
    head.weight.copy_(torch.einsum("ofhw,oc->cfhw", head.weight, rotation))
    assert head.bias is not None
    head.bias.copy_(head.bias @ rotation)


def _plain(config: LSegConfig) -> LSegConfig:
    return dataclasses.replace(config, arch_option=0, block_depth=0, activation="lrelu")


def _load_backbone(model: LSeg, source: str) -> None:
    """timm's weights into the image backbone; the stages that turn its tokens into maps are not timm's and stay."""
    if source == "timm":
        name = _timm_name(model.config)
        if name is None:
            raise ValueError("backbone_weights: expected a file, timm has no backbone of this architecture, got timm")
        what = f"backbone_weights: timm's {name}"
        weights = _download(what, lambda: timm.create_model(name, pretrained=True).state_dict())
    else:
        what, weights = f"backbone_weights: {source}", _read_state_dict(source)
    module: nn.Module = model.backbone
    if model.config.resnet:
        renamed = {_to_stage_name(name): value for name, value in weights.items()}
    else:
        module, renamed = model.backbone.get_submodule("vit"), dict(weights)
    _load(module, renamed, what)


def _timm_name(config: LSegConfig) -> str | None:
    """What timm calls the pretrained backbone of this architecture, None where it has none."""
    sizes = ("width", "depth", "heads", "patch_size", "pretrained_size", "stem", "resnet")
    alike = (name for name in _TIMM if all(getattr(PRESETS[name], size) == getattr(config, size) for size in sizes))
    return _TIMM.get(next(alike, ""))


def _to_stage_name(name: str) -> str:
    """A name of a ResNet's own -> the name in our four stages, of which the first has the stem."""
    first, _, rest = name.partition(".")
    return f"stages.{_RESNET_STEM[first]}.{rest}" if first in _RESNET_STEM else name


def _load_text_tower(model: LSeg, source: str) -> None:
    if source == "openai":
        clip = _CLIP.get(model.config.text.width)
        if clip is None:
            raise ValueError("text_tower: expected a file, CLIP has no text tower of this architecture, got openai")
        what = f"text_tower: CLIP's {clip}"
        weights = _download(what, lambda: open_clip.create_model(clip, pretrained="openai").state_dict())
    else:
        what, weights = f"text_tower: {source}", _read_state_dict(source)
        stated = _read_text_config(source) or model.config.text
        wanted = model.config.text.embed_dim
        if stated.embed_dim != wanted:
            raise ValueError(f"{what}: expected embeddings of {wanted} dimensions, got {stated.embed_dim}")
        if stated != model.config.text:  # a tower of another form takes the place of the preset's
            model.config = dataclasses.replace(model.config, text=stated)
            model.text_encoder = TextEncoder(stated)
    _load(model.text_encoder, {name.removeprefix("clip_pretrained."): value for name, value in weights.items()}, what)


def _read_state_dict(source: str) -> dict[str, Tensor]:
    file = open_weights(find_checkpoint(source))
    return {name: file.read(name, None) for name in file.entries}


def _read_text_config(source: str) -> TextConfig | None:
    """The architecture of a text tower as the metadata of a distilled one or of an LSeg say it, None where none do."""
    facts = open_weights(find_checkpoint(source)).metadata
    if "text_config" in facts:
        return TextConfig(**json.loads(facts["text_config"]))
    return TextConfig(**json.loads(facts["config"])["text"]) if "config" in facts else None


def _download(what: str, download: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    try:
        return download()
    except (OSError, RuntimeError) as error:  # what the libraries raise without a network
        reason = " ".join(str(error).split())
        raise ConnectionError(f"{what} could not be downloaded, give a file instead ({reason[:160]})") from error


@torch.no_grad()
def _load(module: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Copy what the module has from weights that may hold more; ValueError lists what does not fit."""
    wanted = module.state_dict()
    needed = [name for name in wanted if not re.search(r"^reassemble\.|num_batches_tracked$", name)]
    faults = [f"{name} is missing" for name in needed if name not in weights]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in needed
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{what}: expected weights of this architecture, got others: {', '.join(faults[:3])}{more}")
    for name in needed:
        wanted[name].copy_(weights[name])


def single_token_words() -> dict[str, int]:
    """The words that are one token of CLIP's vocabulary, with its id."""
    whole = {token.removesuffix("</w>"): i for token, i in SimpleTokenizer().encoder.items() if token.endswith("</w>")}
    return {text: number for text, number in whole.items() if text.isascii() and text.isalpha() and len(text) > 1}
