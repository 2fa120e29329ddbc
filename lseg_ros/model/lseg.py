"""LSeg (Li et al., "Language-driven Semantic Segmentation", ICLR 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lseg_ros.model.backbone import build_backbone
from lseg_ros.model.config import LSegConfig
from lseg_ros.model.decoder import ClassifierBranch, Decoder, Head, upsample2x
from lseg_ros.model.open_clip_tower import build_text_encoder

__all__ = ["LOGIT_SCALE", "LSeg", "SpatialRegularization"]

LOGIT_SCALE = 1 / 0.07  # fixed: the official code never registers it, so it is neither trained nor stored


class LSeg(nn.Module):
    """An image encoder that embeds pixels and a text encoder that embeds words, in one space."""

    stride = 32  # height and width of the input must be multiples of this, in pixels

    def __init__(self, config: LSegConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config)
        embed_dim = config.text.embed_dim
        classifier = None
        if config.classifier:
            hidden, classes = config.classifier
            classifier = ClassifierBranch(config.reassemble[-1], hidden, classes, embed_dim)
        self.decoder = Decoder(config.reassemble, config.features, config.map_scale, classifier)
        self.head = Head(config.features, embed_dim)
        self.regularization = (
            SpatialRegularization(config.arch_option, config.block_depth, config.activation)
            if config.arch_option
            else None
        )
        self.text_encoder = build_text_encoder(config.text)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.head.weight.device

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """K texts -> (K, C) float32 embeddings of unit norm.

        Raises:
            ValueError: If a text is too long; the message names it.
        """
        return self.text_encoder.encode(texts)

    def encode_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalized RGB -> (B, C, H/2, W/2) pixel embeddings of unit norm.

        Raises:
            ValueError: If H or W is not a multiple of ``stride``.
        """
        pixels = upsample2x(self.encode_low_res(image))  # (B, C, H/2, W/2)
        return pixels / pixels.norm(dim=1, keepdim=True)

    def encode_low_res(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalized RGB -> (B, C, H/4, W/4) pixel embeddings, not normalized.

        The 1x1 head commutes with bilinear upsampling, so ``encode_image`` only upsamples and normalizes this.

        Raises:
            ValueError: If H or W is not a multiple of ``stride``.
        """
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % self.stride or image.shape[3] % self.stride:
            raise ValueError(
                f"image: expected (B, 3, H, W) with H and W multiples of {self.stride}, got {tuple(image.shape)}"
            )
        features = self.decoder(self.backbone(image))  # (B, F or F + C, H/4, W/4)
        low_res: Tensor = self.head(features.to(self.head.weight.dtype))  # (B, C, H/4, W/4)
        return low_res

    def correlate(self, pixels: Tensor, text: Tensor) -> Tensor:
        """Compute the word-pixel correlation: scaled cosine similarity.

        The spatial regularization (section 3.4 of the paper) follows if the network has one.

        Args:
            pixels: (B, C, h, w) pixel embeddings. The result is linear in them without a regularization.
            text: (K, C) text embeddings of unit norm.

        Returns:
            (B, K, h, w) logits in the dtype of the pixel embeddings.
        """
        logits = F.conv2d(pixels, (LOGIT_SCALE * text).to(pixels.dtype)[:, :, None, None])  # (B, K, h, w)
        return logits if self.regularization is None else self.regularization(logits)

    def forward(self, image: Tensor, text: Tensor | Sequence[str]) -> Tensor:
        """Compute logits at the size of the image.

        Images are padded on the right and at the bottom to multiples of ``stride`` with 0, the mean color; the padding
        is cut off again.

        Args:
            image: (B, 3, H, W) normalized RGB, H and W at least 32.
            text: (K, C) text embeddings, or K texts.

        Returns:
            (B, K, H, W) logits.

        Raises:
            ValueError: If the image is smaller than 32x32, or a text is too long.
        """
        height, width = image.shape[-2:]
        if min(height, width) < self.stride:
            raise ValueError(f"image: expected H and W of at least {self.stride}, got {tuple(image.shape)}")
        if not isinstance(text, Tensor):
            text = self.encode_text(text)  # (K, C)
        padded = F.pad(image, (0, -width % self.stride, 0, -height % self.stride))  # (B, 3, H', W')
        logits = self.correlate(self.encode_image(padded), text)  # (B, K, H'/2, W'/2)
        return upsample2x(logits)[..., :height, :width]  # (B, K, H, W)


class SpatialRegularization(nn.Module):
    """The paper's optional blocks on the logits (section 3.4): one 3x3 filter for all labels.

    Because the weights are shared, the number and the order of labels do not matter. Option 1 (bottleneck) adds the
    maximum over labels of the block's input, option 2 (depthwise) does not. An activation follows every round but the
    last.
    """

    def __init__(self, option: int, depth: int, activation: str) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(1, 1, 3, padding=1)
        self.bottleneck = option == 1
        self.rounds = max(depth, 1)
        self.activation = {"lrelu": nn.LeakyReLU(0.01), "tanh": nn.Tanh(), "relu": nn.ReLU()}[activation]

    def forward(self, logits: Tensor) -> Tensor:
        """(B, K, h, w) -> (B, K, h, w)."""
        for index in range(self.rounds):
            flat = logits.flatten(0, 1)[:, None]  # (B K, 1, h, w)
            filtered = self.depthwise(flat).view_as(logits)  # (B, K, h, w)
            logits = filtered + logits.amax(dim=1, keepdim=True) if self.bottleneck else filtered
            if index < self.rounds - 1:
                logits = self.activation(logits)
        return logits
