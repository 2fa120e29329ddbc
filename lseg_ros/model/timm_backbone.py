"""Image backbones of timm by name: plain ViTs, and networks with several feature maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lseg_ros.model.config import LSegConfig
from lseg_ros.model.decoder import CLASSIFIER_EPS
from lseg_ros.model.reassemble import Reassemble
from lseg_ros.model.text_encoder import TextConfig

__all__ = ["TimmBackbone", "TimmViTBackbone", "build_timm_backbone", "timm_config"]

_STRIDES = (4, 8, 16, 32)
_CHECKED_SIZE = (64, 96)  # not square, and not the size of any pretraining
# Networks without the required options, or for a single image size, raise these errors.
_UNSUITABLE = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError)


class TimmBackbone(nn.Module):
    """Network of timm with feature maps at stride 4, 8, 16 and 32, such as ConvNeXt."""

    def __init__(self, config: LSegConfig) -> None:
        super().__init__()
        self.net = _create_pyramid(config.timm, out_indices=list(config.taps))
        channels = tuple(self.net.feature_info.channels())
        if channels != config.reassemble:
            raise ValueError(f"reassemble: expected {channels} for {config.timm}, got {config.reassemble}")
        self._channels_last = str(getattr(self.net, "output_fmt", "")).endswith("NHWC")

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalized -> [(B, C1, H/4, W/4), ..., (B, C4, H/32, W/32)]."""
        maps: list[Tensor] = self.net(image)
        return [level.permute(0, 3, 1, 2) for level in maps] if self._channels_last else maps


class TimmViTBackbone(nn.Module):
    """Plain ViT of timm with reassembled maps at stride 4, 8, 16 and 32 (DPT, section 3).

    Registers take part in attention and are dropped afterwards. A patch size that does not divide 32 gets a resized
    image, so that tokens are 16 pixels apart.
    """

    def __init__(self, config: LSegConfig) -> None:
        super().__init__()
        self.vit = _create(config.timm, depth=config.depth, dynamic_img_size=True)
        self.taps = list(config.taps)
        self.vit.prune_intermediate_layers(self.taps, prune_norm=True)  # without the final norm, as in LSeg
        self.patch_size, self.token_stride = config.patch_size, config.token_stride
        self.class_token = getattr(self.vit, "cls_token", None) is not None
        self.reassemble = nn.ModuleList(
            Reassemble(config.width, channels, self.token_stride / stride, class_token=self.class_token)
            for channels, stride in zip(config.reassemble, _STRIDES)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalized -> [(B, C1, H/4, W/4), ..., (B, C4, H/32, W/32)]."""
        grid = torch.Size(side // self.token_stride for side in image.shape[-2:])  # gh, gw
        if self.patch_size != self.token_stride:
            size = [self.patch_size * side for side in grid]
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        taps: list[Any] = self.vit.forward_intermediates(
            image,
            indices=self.taps,
            return_prefix_tokens=self.class_token,
            output_fmt="NLC",
            intermediates_only=True,
        )
        if self.class_token:  # each tap: patches (B, gh gw, D), prefix tokens (B, 1 + registers, D)
            taps = [torch.cat([prefix[:, :1], patches], dim=1) for patches, prefix in taps]  # (B, 1 + gh gw, D)
        return [stage(tokens, grid) for stage, tokens in zip(self.reassemble, taps)]


def build_timm_backbone(config: LSegConfig) -> TimmBackbone | TimmViTBackbone:
    """Build the backbone that ``config.timm`` names, with random weights.

    Nothing is downloaded.

    Raises:
        ValueError: If this version of timm has no such network, or one that LSeg cannot use.
    """
    try:
        return TimmViTBackbone(config) if config.depth else TimmBackbone(config)
    except _UNSUITABLE as error:
        raise _unsuitable(config.timm, error) from error


def timm_config(name: str, text: TextConfig, *, depth: int = 0, classifier: bool = False, **sizes: Any) -> LSegConfig:
    """Build the architecture of an LSeg network with a backbone of timm.

    Nothing is allocated or downloaded. A plain ViT is tapped after each quarter of its blocks, and its maps have 1/8,
    1/4, 1/2 and all of its channels (as DPT does with ViT-B). Other networks contribute their own feature maps.

    Args:
        name: Network of timm, such as ``convnext_tiny``; a tag of pretrained weights (``convnext_tiny.in12k``) selects
            the mean and standard deviation of the images they expect.
        text: The text encoder.
        depth: Number of blocks of a plain ViT; 0 keeps those of timm.
        classifier: Add a classifier branch, with the sizes of the network's own classifier.
        sizes: Further fields of ``LSegConfig``, such as ``features`` and ``input_size_px``.

    Raises:
        ValueError: If timm has no such network, or one that LSeg cannot use.
    """
    architecture = name.partition(".")[0]
    with torch.device("meta"):
        full = _create(architecture)
    infos: Sequence[dict[str, Any]] = getattr(full, "feature_info", None) or []
    strides = {info["reduction"] for info in infos}
    if len(strides) == 1:
        sizes.update(_vit_sizes(full, strides.pop(), depth))
    elif depth:
        raise ValueError(f"depth: expected 0, only plain ViTs can have other depths, got {depth} for {name}")
    else:
        sizes.update(_pyramid_sizes(architecture))
    if classifier:
        sizes.update(classifier=_classifier_sizes(full, name))
    try:
        pretrained = timm.get_pretrained_cfg(name)
    except RuntimeError:
        pretrained = None
    if pretrained is None:
        raise ValueError(f"timm: expected a tag of weights of {architecture}, got {name!r}")
    sizes.update(image_mean=tuple(pretrained.mean), image_std=tuple(pretrained.std))
    config = LSegConfig(timm=architecture, text=text, **sizes)
    _check_maps(config)
    return config


def _create(name: str, **options: Any) -> Any:
    """Create a network of timm with random weights.

    Names come from checkpoints too. timm.create_model would download the configuration of a name such as hf-hub:X.
    """
    if not re.fullmatch(r"\w+", name) or not timm.is_model(name):
        raise ValueError(f"timm: expected the name of a network of timm {timm.__version__}, got {name!r}")
    return timm.create_model(name, pretrained=False, **options)


def _create_pyramid(name: str, **options: Any) -> Any:
    """Create a network that returns a list of feature maps.

    Some networks, such as Swin, accept all image sizes only with ``strict_img_size=False``.
    """
    try:
        return _create(name, features_only=True, strict_img_size=False, **options)
    except TypeError:
        return _create(name, features_only=True, **options)


def _vit_sizes(vit: Any, patch_size: int, depth: int) -> dict[str, Any]:
    if not hasattr(vit, "blocks") or not hasattr(vit, "patch_embed"):
        raise ValueError(f"timm: expected a ViT, or feature maps at stride 4, 8, 16 and 32, got {type(vit).__name__}")
    depth, width = depth or len(vit.blocks), vit.embed_dim
    if depth < 4:
        raise ValueError(f"depth: expected at least 4 blocks, which are tapped, got {depth}")
    return {
        "width": width,
        "depth": depth,
        "taps": tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)),
        "reassemble": (width // 8, width // 4, width // 2, width),
        "patch_size": patch_size,
    }


def _classifier_sizes(full: Any, name: str) -> tuple[int, int]:
    """Return the hidden channels and the classes of an EfficientNet-Lite."""
    try:
        hidden, classes, norm = full.conv_head.out_channels, full.classifier.out_features, full.bn2
        fits = norm.num_features == hidden and norm.eps == CLASSIFIER_EPS and isinstance(norm.act, nn.ReLU6)
    except AttributeError:
        fits = False
    if not fits:
        raise ValueError(f"classifier: expected the layers of an EfficientNet-Lite of TensorFlow, got {name}")
    return hidden, classes


def _pyramid_sizes(name: str) -> dict[str, Any]:
    """Select the last feature map at each stride."""
    try:
        with torch.device("meta"):
            info = _create_pyramid(name).feature_info
    except _UNSUITABLE as error:
        raise _unsuitable(name, error) from error
    strides = list(info.reduction())
    if not set(_STRIDES) <= set(strides):
        raise ValueError(f"timm: expected feature maps at stride {_STRIDES}, got those of {name} at {strides}")
    taps = tuple(max(index for index, found in enumerate(strides) if found == stride) for stride in _STRIDES)
    return {"taps": taps, "reassemble": tuple(info.channels()[tap] for tap in taps)}


def _check_maps(config: LSegConfig) -> None:
    """Compare the shapes of the feature maps with their strides, on the meta device."""
    height, width = _CHECKED_SIZE
    expected = [(1, c, height // s, width // s) for c, s in zip(config.reassemble, _STRIDES)]
    try:
        with torch.device("meta"):
            maps = build_timm_backbone(config).eval()(torch.zeros(1, 3, height, width))
    except _UNSUITABLE as error:
        raise _unsuitable(config.timm, error) from error
    found = [tuple(level.shape) for level in maps]
    if found != expected:
        raise ValueError(f"timm: expected feature maps of shapes {expected}, got {found} from {config.timm}")


def _unsuitable(name: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:160]
    return ValueError(
        f"timm: expected a ViT, or a network with feature maps at stride 4, 8, 16 and 32, for images of any size, got "
        f"{name} ({reason})"
    )
