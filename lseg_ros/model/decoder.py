"""The DPT decoder: fuses four feature maps into one at a quarter of the image size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CLASSIFIER_EPS", "ClassifierBranch", "Decoder", "Fusion", "Head", "ResidualConvUnit", "upsample2x"]

CLASSIFIER_EPS = 1e-3  # of the batch norm of a classifier branch, as in TensorFlow


class Decoder(nn.Module):
    """Fuse four feature maps, deepest first, into one map at stride 4 (DPT, section 3).

    The official decoder also upsamples its result to stride 2. That is left to the caller: the 1x1 head and the
    correlation commute with upsampling, and at stride 4 they cost a quarter.

    Args:
        channels: Channels of the four maps.
        features: Channels F of the decoder.
        scale: Factor of the maps.
        classifier: The branch whose embeddings follow the F channels of the result, None without one.
    """

    def __init__(
        self,
        channels: Sequence[int],
        features: int,
        scale: float = 1.0,
        classifier: ClassifierBranch | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.lateral = nn.ModuleList(nn.Conv2d(count, features, 3, padding=1, bias=False) for count in channels)
        self.fusion = nn.ModuleList(
            Fusion(features, deepest=level == len(channels) - 1) for level in range(len(channels))
        )
        self.classifier = classifier

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[(B, C1, H/4, W/4), ..., (B, C4, H/32, W/32)] -> (B, F or F + C, H/4, W/4)."""
        return self.fuse(self.project(maps))

    def project(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Bring every map to F channels.

        Returns:
            Four levels, (B, F, H/4, W/4) to (B, F, H/32, W/32), and with a classifier (B, C, H/32, W/32) embeddings.
        """
        scaled = maps if self.scale == 1 else [self.scale * level for level in maps]
        levels = [lateral(level) for lateral, level in zip(self.lateral, scaled)]
        return levels if self.classifier is None else [*levels, self.classifier(maps[-1])]

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Fuse the result of ``project`` -> (B, F or F + C, H/4, W/4)."""
        levels, words = levels[: len(self.fusion)], levels[len(self.fusion) :]
        path: Tensor = self.fusion[-1](levels[-1])  # (B, F, H/32, W/32)
        for fusion, level in zip(reversed(self.fusion[:-1]), reversed(levels[:-1])):
            path = fusion(level, upsample2x(path))  # (B, F, H/16, W/16), H/8, H/4
        if not words:
            return path
        upsampled = F.interpolate(words[0], size=path.shape[-2:], mode="bilinear", align_corners=True)
        return torch.cat([path, upsampled], dim=1)


class ClassifierBranch(nn.Module):
    """The classifier of an EfficientNet-Lite at every location, with words as its classes.

    The result is the mean of the embeddings of the class names, weighted by the probabilities of the classes and
    averaged over 3x3 locations. It knows many more words than the masks of a training set, but has no sharp edges.

    Args:
        channels: Channels of the deepest feature map.
        hidden: Channels before the classification.
        classes: Number of classes.
        embed_dim: Dimensions C of the embeddings.
    """

    def __init__(self, channels: int, hidden: int, classes: int, embed_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden, eps=CLASSIFIER_EPS)
        self.act = nn.ReLU6()
        self.classes = nn.Conv2d(hidden, classes, 1)
        self.words = nn.Conv2d(classes, embed_dim, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, C, h, w), longer where the classifier is more confident."""
        embeddings: Tensor = self.words(self.classify(features).softmax(dim=1))
        # A single location is often wrong about small parts of a thing.
        return F.avg_pool2d(embeddings, 3, stride=1, padding=1, count_include_pad=False)

    @torch.no_grad()
    def set_words(self, class_embeddings: Tensor, strengths: Tensor) -> None:
        """Set the words of the classes.

        Their mean is subtracted, so that an undecided classifier contributes next to nothing.

        Args:
            class_embeddings: (classes, C) text embeddings of the class names, of unit norm.
            strengths: (classes,) factors of the embeddings. With 1, they are about as long as those of the decoder can
                be.
        """
        centered = class_embeddings - class_embeddings.mean(dim=0)
        self.words.weight.copy_((strengths[:, None] * centered).T[..., None, None])

    def classify(self, features: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, classes, h, w) logits."""
        logits: Tensor = self.classes(self.act(self.bn(self.conv(features))))
        return logits


class Head(nn.Conv2d):
    """1x1 convolution from the F channels of the decoder to embeddings.

    With a classifier branch, the embeddings are limited to a length of 1 and those of the branch are added. Otherwise
    the decoder would outvote the branch on things that it has never seen, where its embeddings are as long as
    elsewhere. Embeddings with values around 1 have a length of 0.7.
    """

    def __init__(self, features: int, embed_dim: int) -> None:
        super().__init__(features, embed_dim, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(B, F or F + C, h, w) -> (B, C, h, w)."""
        embeddings = super().forward(input[:, : self.in_channels])
        if input.shape[1] == self.in_channels:
            return embeddings
        limited = embeddings * (self.out_channels + embeddings.square().sum(dim=1, keepdim=True)).rsqrt()
        return limited + input[:, self.in_channels :]


class Fusion(nn.Module):
    """Add one level to the path from the deeper levels, and refine the sum.

    The official module also upsamples its result, before ``project``. Bilinear weights sum to one, so a 1x1 convolution
    with its bias commutes with the upsampling: before it, the convolution costs a quarter.
    """

    def __init__(self, features: int, *, deepest: bool = False) -> None:
        super().__init__()
        self.lateral_unit = None if deepest else ResidualConvUnit(features)
        self.refine_unit = ResidualConvUnit(features)
        self.project = nn.Conv2d(features, features, 1)

    def forward(self, lateral: Tensor, path: Tensor | None = None) -> Tensor:
        """(B, F, h, w) twice, or once at the deepest level -> (B, F, h, w)."""
        fused = lateral if path is None or self.lateral_unit is None else path + self.lateral_unit(lateral)
        projected: Tensor = self.project(self.refine_unit(fused))  # (B, F, h, w)
        return projected


def upsample2x(x: Tensor) -> Tensor:
    """Upsample bilinearly with aligned corners, as the official code does everywhere.

    Args:
        x: (B, C, h, w).

    Returns:
        (B, C, 2h, 2w).
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Pre-activation residual unit: x + BN(conv(ReLU(BN(conv(ReLU(x))))))."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, F, h, w)."""
        y = self.bn1(self.conv1(F.relu(x)))
        return x + self.bn2(self.conv2(F.relu(y)))
