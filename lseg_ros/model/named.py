"""Architectures from names of timm and open_clip."""

from __future__ import annotations

from typing import Any

import open_clip

from lseg_ros.model.config import PRESETS, LSegConfig
from lseg_ros.model.open_clip_tower import text_config
from lseg_ros.model.text_encoder import TextConfig
from lseg_ros.model.timm_backbone import timm_config

__all__ = ["config_from_names", "parse_backbone", "parse_text_tower"]


def config_from_names(backbone: str, text_tower: str = "demo", **sizes: Any) -> LSegConfig:
    """Build the architecture of an LSeg network from names.

    Nothing is allocated or downloaded.

    For example, ``LSeg(config_from_names("timm:convnext_tiny", "open_clip:ViT-B-16"))`` is such a network with random
    weights.

    Args:
        backbone: ``timm:NAME``; a tag of weights (``timm:NAME.TAG``) selects mean and standard deviation of the images.
        text_tower: ``open_clip:NAME``, ``open_clip:NAME:PRETRAINED`` or a preset.
        sizes: Further fields of ``LSegConfig``, such as ``features`` and ``input_size_px``; also ``depth``, the number
            of blocks of a plain ViT.

    Raises:
        ValueError: If there is no such network, or one that LSeg cannot use.
    """
    if text_tower in PRESETS:
        text = PRESETS[text_tower].text
    else:
        _, _, text = parse_text_tower(text_tower)
    return timm_config(parse_backbone(backbone), text, **sizes)


def parse_backbone(name: str) -> str:
    """Return the NAME of ``timm:NAME``.

    Raises:
        ValueError: If the name has another form.
    """
    library, _, network = name.partition(":")
    if library != "timm" or not network:
        raise ValueError(f"backbone: expected timm:NAME, got {name!r}")
    return network


def parse_text_tower(name: str) -> tuple[str, str, TextConfig]:
    """Split ``open_clip:NAME[:PRETRAINED]`` into NAME, PRETRAINED and the architecture.

    Raises:
        ValueError: If the name has another form, or open_clip has no such network.
    """
    library, _, rest = name.partition(":")
    network, _, pretrained = rest.partition(":")
    if library != "open_clip" or not network:
        raise ValueError(f"text_tower: expected open_clip:NAME or open_clip:NAME:PRETRAINED, got {name!r}")
    architecture = text_config(network)
    tag = open_clip.get_pretrained_cfg(network, pretrained) if pretrained else {}
    # some weights of a name were trained with another activation, such as those of OpenAI
    return network, pretrained, text_config(network, quick_gelu=True) if tag.get("quick_gelu") else architecture
