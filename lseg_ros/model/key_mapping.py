"""The authors' checkpoint keys: translation from our names, and architecture from keys.

Files always have the authors' keys (``pretrained.*``, ``scratch.*``, ``clip_pretrained.*``). ``_PATTERNS`` is the only
translation between these and the names in memory.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from lseg_ros.model.config import IMAGENET_MEAN, IMAGENET_STD, PRESETS, LSegConfig
from lseg_ros.model.decoder import ResidualConvUnit
from lseg_ros.model.lseg import LSeg
from lseg_ros.model.text_encoder import TextConfig

__all__ = ["config_from_keys", "expected_entries", "is_unused", "nearest_preset", "to_official_key", "unused_entries"]

# our name -> the authors' key; levels count from 0 here and from 1 there
_PATTERNS = [
    (r"backbone\.vit\.(.*)", r"pretrained.model.\1"),
    (r"backbone\.net\.(.*)", r"pretrained.net.\1"),  # of timm, not in any official network
    (r"backbone\.stages\.(\d+)\.(.*)", r"pretrained.layer<\1>.\2"),
    (r"backbone\.stem\.(.*)", r"pretrained.stem.\1"),  # in no official network
    (r"backbone\.reassemble\.(\d+)\.readout\.(\w+)", r"pretrained.act_postprocess<\1>.0.project.0.\2"),
    (r"backbone\.reassemble\.(\d+)\.project\.(\w+)", r"pretrained.act_postprocess<\1>.3.\2"),
    (r"backbone\.reassemble\.(\d+)\.resample\.(\w+)", r"pretrained.act_postprocess<\1>.4.\2"),
    (r"decoder\.lateral\.(\d+)\.weight", r"scratch.layer<\1>_rn.weight"),
    (r"decoder\.fusion\.(\d+)\.lateral_unit\.(.*)", r"scratch.refinenet<\1>.resConfUnit1.\2"),
    (r"decoder\.fusion\.(\d+)\.refine_unit\.(.*)", r"scratch.refinenet<\1>.resConfUnit2.\2"),
    (r"decoder\.fusion\.(\d+)\.project\.(\w+)", r"scratch.refinenet<\1>.out_conv.\2"),
    (r"decoder\.classifier\.(.*)", r"scratch.classifier.\1"),  # in no official network
    (r"head\.(\w+)", r"scratch.head1.\1"),
    (r"regularization\.depthwise\.(\w+)", r"scratch.head_block.depthwise.depthwise.\1"),
    (r"text_encoder\.(.*)", r"clip_pretrained.\1"),
]

# Entries of the authors' files without effect: CLIP's image tower, the ViT's classifier, an unused residual unit
_UNUSED = re.compile(
    r"clip_pretrained\.(visual\.|logit_scale$)|pretrained\.model\.(head|norm)\.|scratch\.refinenet4\.resConfUnit1\."
)
_HEAD_BLOCK = "scratch.head_block.depthwise.depthwise."
_TAPS = {24: (5, 11, 17, 23), 12: (2, 5, 8, 11)}  # by number of blocks


def to_official_key(name: str, config: LSegConfig) -> str:
    """Translate one of our parameter names to the authors' key.

    Raises:
        KeyError: If there is no such parameter.
    """
    first_level = 2 if config.stem else 0  # of the levels that are reassembled
    for pattern, template in _PATTERNS:
        if match := re.fullmatch(pattern, name):
            official = match.expand(template)
            if level := re.search(r"<(\d+)>", official):
                count = int(level[1]) + 1 + first_level * ("act_postprocess" in official)
                official = official.replace(level[0], str(count))
            return official
    raise KeyError(f"no official name for {name!r}")


def expected_entries(config: LSegConfig) -> dict[str, Tensor]:
    """Return the entries that a checkpoint of this architecture must contain.

    Returns:
        Official key -> tensor on the meta device.
    """
    return dict(_entries(config))


@functools.lru_cache(maxsize=16)  # the presets and a few more; building a large network takes a second
def _entries(config: LSegConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return {to_official_key(name, config): value for name, value in LSeg(config).state_dict().items()}


def is_unused(name: str) -> bool:
    """Check whether an entry of an official file has no effect on inference."""
    return _UNUSED.match(name) is not None


def unused_entries(config: LSegConfig) -> dict[str, Tensor]:
    """Return the entries of official files that have no effect on inference.

    Only code that loads strictly needs them, such as the authors' and VLMaps.

    Returns:
        Official key -> tensor on the meta device.

    Raises:
        ValueError: If the authors have no such architecture.
    """
    towers = {512: _clip_vit_b32, 768: _clip_rn50x16}  # by the width of the text encoder
    if config.timm or config.stem or config.classifier or config.text.width not in towers:
        raise ValueError(
            "an official network: expected no stem, no backbone of timm, no classifier, and the text encoder of CLIP "
            "ViT-B/32 or RN50x16"
        )
    with torch.device("meta"):
        parts: dict[str, nn.Module] = {
            "clip_pretrained.visual": towers[config.text.width](),
            "scratch.refinenet4.resConfUnit1": ResidualConvUnit(config.features),
        }
        if not config.resnet:
            parts["pretrained.model.norm"] = nn.LayerNorm(config.width)
            parts["pretrained.model.head"] = nn.Linear(config.width, 1000)
        unused = {f"{part}.{name}": value for part in parts for name, value in parts[part].state_dict().items()}
        return unused | {"clip_pretrained.logit_scale": torch.empty(())}


def config_from_keys(weights: Mapping[str, Tensor]) -> LSegConfig:
    """Derive the architecture of an official network or a preset from keys and shapes.

    Raises:
        KeyError: If a required entry is missing.
        ValueError: If the keys do not determine the architecture.
    """
    if any(re.match(r"pretrained\.(stem|net)\.", name) for name in weights):
        return _preset_from_keys(weights)
    image = _resnet_from_keys(weights) if "pretrained.layer1.0.weight" in weights else _vit_from_keys(weights)
    text_width = weights["clip_pretrained.ln_final.weight"].shape[0]
    return LSegConfig(
        **image,  # type: ignore[arg-type]
        features=weights["scratch.layer1_rn.weight"].shape[0],
        arch_option=int(f"{_HEAD_BLOCK}weight" in weights),
        text=TextConfig(
            width=text_width,
            heads=text_width // 64,
            layers=_count(weights, r"clip_pretrained\.transformer\.resblocks\.(\d+)\.ln_1\.weight"),
            context_length=weights["clip_pretrained.positional_embedding"].shape[0],
            embed_dim=weights["clip_pretrained.text_projection"].shape[1],
            vocab_size=weights["clip_pretrained.token_embedding.weight"].shape[0],
        ),
    )


def nearest_preset(weights: Mapping[str, Tensor]) -> tuple[str, float]:
    """Find the preset that shares the most entries (key and shape) with these weights.

    Returns:
        Its name, and the shared fraction of its entries, 0 to 1.
    """
    shares = {}
    for preset, config in PRESETS.items():
        expected = expected_entries(config)
        shared = [name for name, value in expected.items() if name in weights and weights[name].shape == value.shape]
        shares[preset] = len(shared) / len(expected)
    best = max(shares, key=shares.__getitem__)
    return best, shares[best]


def _preset_from_keys(weights: Mapping[str, Tensor]) -> LSegConfig:
    """Find the preset with these entries.

    Their shapes do not show all sizes, such as the number of heads.
    """
    shapes = _shapes(weights)
    for config in PRESETS.values():
        if (config.stem or config.timm) and shapes == _shapes(expected_entries(config)):
            return dataclasses.replace(config, arch_option=int(f"{_HEAD_BLOCK}weight" in weights))
    raise ValueError("an image backbone that no preset has, without the metadata config that describe it")


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shapes of the entries that every file of an architecture has."""
    optional = ("num_batches_tracked", f"{_HEAD_BLOCK}weight", f"{_HEAD_BLOCK}bias")
    return {name: value.shape for name, value in weights.items() if not is_unused(name) and not name.endswith(optional)}


def _vit_from_keys(weights: Mapping[str, Tensor]) -> dict[str, object]:
    width = weights["pretrained.model.cls_token"].shape[-1]
    depth = _count(weights, r"pretrained\.model\.blocks\.(\d+)\.norm1\.weight")
    patch = weights["pretrained.model.patch_embed.proj.weight"].shape[-1]
    if depth not in _TAPS:
        raise ValueError(f"a ViT of {depth} blocks instead of {' or '.join(map(str, sorted(_TAPS)))}")
    return {
        "width": width,
        "depth": depth,
        "heads": width // 64,
        "taps": _TAPS[depth],
        "reassemble": tuple(weights[f"pretrained.act_postprocess{level}.3.weight"].shape[0] for level in (1, 2, 3, 4)),
        "patch_size": patch,
        "pretrained_size": round((weights["pretrained.model.pos_embed"].shape[1] - 1) ** 0.5) * patch,
    }


def _resnet_from_keys(weights: Mapping[str, Tensor]) -> dict[str, object]:
    stages = [r"layer1\.4", r"layer2", r"layer3", r"layer4"]  # the first stage follows four modules of the stem
    return {
        "resnet": tuple(_count(weights, rf"pretrained\.{stage}\.(\d+)\.conv1\.weight") for stage in stages),
        "reassemble": tuple(weights[f"scratch.layer{level}_rn.weight"].shape[1] for level in (1, 2, 3, 4)),
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
    }


def _count(weights: Iterable[str], pattern: str) -> int:
    return sum(1 for name in weights if re.fullmatch(pattern, name))


def _clip_vit_b32() -> nn.Module:
    tower: nn.Module = VisionTransformer(
        image_size=224, patch_size=32, width=768, layers=12, heads=12, mlp_ratio=4, output_dim=512
    )
    return tower


def _clip_rn50x16() -> nn.Module:
    tower: nn.Module = ModifiedResNet((6, 8, 18, 8), output_dim=768, heads=48, image_size=384, width=96)
    return tower
