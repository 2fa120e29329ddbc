"""Architecture of the network, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lseg_ros.model.text_encoder import TextConfig

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "PRESETS", "RESNET_CHANNELS", "LSegConfig"]

RESNET_CHANNELS = (256, 512, 1024, 2048)  # of every ResNet with bottleneck blocks
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's ResNets

_LIMITS = {
    "width": 1 << 16,
    "depth": 256,
    "heads": 1 << 10,
    "taps": 255,
    "resnet": 256,
    "reassemble": 1 << 16,
    "patch_size": 256,
    "pretrained_size": 1 << 13,
    "features": 1 << 16,
    "classifier": 1 << 16,
    "stem": 1 << 16,
    "stem_depth": 256,
    "arch_option": 2,
    "block_depth": 256,
    "input_size_px": 1 << 16,
}
_MINIMUMS = dict.fromkeys(
    ("reassemble", "stem", "resnet", "patch_size", "pretrained_size", "features", "classifier"), 1
)


@dataclass(frozen=True, kw_only=True)
class LSegConfig:
    """The architecture of an LSeg network.

    The image encoder is a ViT with a DPT decoder. With a convolutional ``stem`` the ViT reads the output of the stem,
    and the feature maps at stride 4 and 8 come from the stem, as in DPT-Hybrid (Ranftl et al., ICCV 2021, section 3).
    With ``resnet`` a ResNet replaces the ViT, and the fields of the ViT stay unset. With ``timm`` a network of timm
    replaces it; ``timm_backbone.timm_config`` fills in the other fields.

    Attributes:
        width: Channels of the ViT's tokens.
        depth: Number of the ViT's blocks.
        heads: Attention heads of each block.
        taps: Indices of the blocks whose output is reassembled, ascending; four, or two with a stem.
        resnet: Number of bottleneck blocks in each of a ResNet's four stages.
        timm: Name of a network of timm, without the tag of its weights. With a ``depth`` it is a plain ViT; otherwise
            ``taps`` are the indices of its feature maps.
        reassemble: Channels of the feature maps at stride 4, 8, 16 and 32.
        text: The text encoder.
        patch_size: Pixels of the image per token.
        pretrained_size: Side of the square image that the position table belongs to, in pixels.
        features: Channels of the decoder.
        map_scale: Factor of the feature maps before the decoder. Without it, maps with large values, such as those of
            an EfficientNet, outweigh the residual units of the decoder.
        classifier: Hidden channels and number of classes of a classifier branch; empty without one.
        stem: Channels of the convolutional stem at stride 2, 4 and 8; empty without one.
        stem_depth: Residual units per stage of the stem.
        arch_option: Spatial regularization: 0 none, 1 bottleneck, 2 depthwise.
        block_depth: Rounds of the spatial regularization.
        activation: Activation of the spatial regularization: lrelu, tanh or relu.
        image_mean: Mean of each channel, for values from 0 to 1.
        image_std: Standard deviation of each channel, for values from 0 to 1.
        input_size_px: Longer side of images that the network works best with; 0 is the size of the camera image.
        unlabeled_threshold: Softmax of the winning label below which a pixel had better stay unlabeled, from 0 to 1.
    """

    width: int = 0
    depth: int = 0
    heads: int = 0
    taps: tuple[int, ...] = ()
    resnet: tuple[int, ...] = ()
    timm: str = ""
    reassemble: tuple[int, ...]
    text: TextConfig
    patch_size: int = 16
    pretrained_size: int = 384
    features: int = 256
    map_scale: float = 1.0
    classifier: tuple[int, ...] = ()
    stem: tuple[int, ...] = ()
    stem_depth: int = 2
    arch_option: int = 0
    block_depth: int = 0
    activation: str = "lrelu"
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    input_size_px: int = 0
    unlabeled_threshold: float = 0.0

    @property
    def token_stride(self) -> int:
        """Pixels of the network's input per token, along each axis.

        It divides 32. A backbone of timm with other patches gets a resized image, as if its patches had 16 pixels.
        """
        return self.patch_size if 32 % self.patch_size == 0 else 16

    def __post_init__(self) -> None:
        self._check_limits()
        self._check_normalization()
        if len(self.reassemble) != 4:
            raise ValueError(f"reassemble: expected channels at stride 4, 8, 16 and 32, got {self.reassemble}")
        if not (type(self.map_scale) in (int, float) and 1e-6 <= self.map_scale <= 1e6):
            raise ValueError(f"map_scale: expected a number from 1e-6 to 1e6, got {self.map_scale!r}")
        if self.classifier and len(self.classifier) != 2:
            raise ValueError(f"classifier: expected its hidden channels and classes, got {self.classifier}")
        if self.timm:
            self._check_timm()
        elif self.resnet:
            self._check_resnet()
        else:
            self._check_vit()
        if not (type(self.unlabeled_threshold) in (int, float) and 0 <= self.unlabeled_threshold <= 1):
            raise ValueError(f"unlabeled_threshold: expected a number from 0 to 1, got {self.unlabeled_threshold!r}")
        if self.activation not in ("lrelu", "tanh", "relu"):
            raise ValueError(f"activation: expected lrelu, tanh or relu, got {self.activation!r}")

    def _check_limits(self) -> None:
        """Reject sizes that would take minutes to build; they come from the metadata of files."""
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            several, minimum = name in ("taps", "resnet", "reassemble", "stem", "classifier"), _MINIMUMS.get(name, 0)
            numbers = value if several else (value,)
            if not isinstance(numbers, tuple) or not all(
                type(number) is int and minimum <= number <= limit for number in numbers
            ):
                raise ValueError(f"{name}: expected integers from {minimum} to {limit}, got {value!r}")

    def _check_normalization(self) -> None:
        for name in ("image_mean", "image_std"):
            value, minimum = getattr(self, name), 1e-3 if name == "image_std" else -1e3
            valid = isinstance(value, tuple) and all(
                type(number) in (int, float) and math.isfinite(number) and minimum <= number <= 1e3 for number in value
            )
            if not valid or len(value) != 3:
                raise ValueError(f"{name}: expected three numbers from {minimum:g} to 1000, got {value!r}")

    def _check_timm(self) -> None:
        if not isinstance(self.timm, str):
            raise ValueError(f"timm: expected a name, got {self.timm!r}")
        if self.resnet or self.stem or self.heads:
            raise ValueError("timm: expected no resnet, stem or heads, which belong to other backbones, got some")
        if len(self.taps) != 4 or list(self.taps) != sorted(set(self.taps)):
            raise ValueError(f"taps: expected four ascending indices, got {self.taps}")
        if self.depth and self.taps[-1] >= self.depth:
            raise ValueError(f"taps: expected indices of {self.depth} blocks, got {self.taps}")

    def _check_resnet(self) -> None:
        if len(self.resnet) != 4 or min(self.resnet) < 1:
            raise ValueError(f"resnet: expected the number of blocks of four stages, got {self.resnet}")
        if self.width or self.depth or self.heads or self.taps or self.stem:
            raise ValueError("resnet: expected no width, depth, heads, taps or stem, which belong to a ViT, got some")
        if self.reassemble != RESNET_CHANNELS:
            raise ValueError(f"reassemble: expected {RESNET_CHANNELS} for a ResNet, got {self.reassemble}")

    def _check_vit(self) -> None:
        count = 2 if self.stem else 4
        if len(self.taps) != count or list(self.taps) != sorted(set(self.taps)):
            raise ValueError(f"taps: expected {count} ascending block indices, got {self.taps}")
        if not 0 <= self.taps[0] <= self.taps[-1] < self.depth:
            raise ValueError(f"taps: expected indices of {self.depth} blocks, got {self.taps}")
        if not self.heads or not self.width or self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of the width {self.width}, got {self.heads}")
        if self.pretrained_size < self.patch_size:
            raise ValueError(
                f"pretrained_size: expected at least the patch size {self.patch_size}, got {self.pretrained_size}"
            )
        if self.stem and (len(self.stem) != 3 or self.reassemble[:2] != self.stem[1:]):
            raise ValueError(
                f"stem: expected channels at stride 2, 4 and 8, the last two equal to the first two of reassemble "
                f"{self.reassemble[:2]}, got {self.stem}"
            )
        if self.patch_size not in (16, 32) or (self.stem and self.patch_size != 16):
            raise ValueError(f"patch_size: expected 16, or 32 without a stem, got {self.patch_size}")


_CLIP_VIT_B32_TEXT = TextConfig(width=512, heads=8, layers=12, embed_dim=512)
_CLIP_RN50X16_TEXT = TextConfig(width=768, heads=12, layers=12, embed_dim=768)
_DEMO_TEXT = TextConfig(width=192, heads=4, layers=3, context_length=16, embed_dim=128, token_rank=88)
_VITL16 = LSegConfig(
    width=1024,
    depth=24,
    heads=16,
    taps=(5, 11, 17, 23),
    reassemble=(256, 512, 1024, 1024),
    text=_CLIP_VIT_B32_TEXT,
)

PRESETS: dict[str, LSegConfig] = {
    # The authors' networks (LSeg paper, section 4): ViT-L/16 at 384 and the text tower of CLIP ViT-B/32, ...
    "vitl16": _VITL16,
    "clipRN50x16_vitl16": replace(_VITL16, text=_CLIP_RN50X16_TEXT),
    "vitb32": LSegConfig(
        width=768,
        depth=12,
        heads=12,
        taps=(2, 5, 8, 11),
        reassemble=(96, 192, 384, 768),
        patch_size=32,
        text=_CLIP_VIT_B32_TEXT,
    ),
    # ... and those of the zero-shot protocols; one is the same as the first
    "zs_vitl16": _VITL16,
    "zs_resnet101": LSegConfig(
        resnet=(3, 4, 23, 3),
        reassemble=RESNET_CHANNELS,
        text=_CLIP_VIT_B32_TEXT,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    ),
    # Small enough for the CPU of a laptop. The package includes the weights of this one.
    "demo": LSegConfig(
        timm="tf_efficientnet_lite0",
        taps=(1, 2, 3, 4),
        reassemble=(24, 40, 112, 320),
        map_scale=0.1,
        classifier=(1280, 1000),
        features=64,
        input_size_px=384,
        unlabeled_threshold=0.4,
        text=_DEMO_TEXT,
    ),
    # The architecture of the paper in that size, to be trained from random weights, ...
    "demo_vit": LSegConfig(
        width=192,
        depth=10,
        heads=6,
        taps=(7, 9),
        reassemble=(48, 96, 128, 192),
        features=64,
        stem=(24, 48, 96),
        pretrained_size=320,
        input_size_px=320,
        text=_DEMO_TEXT,
    ),
    # ... and a quarter of it, for comparisons of training methods.
    "demo_small": LSegConfig(
        width=128,
        depth=4,
        heads=4,
        taps=(1, 3),
        reassemble=(32, 64, 96, 128),
        features=48,
        stem=(16, 32, 64),
        stem_depth=1,
        pretrained_size=320,
        input_size_px=160,
        text=_DEMO_TEXT,
    ),
}
