"""The words of a classifier branch: how strong each class of the classifier should be."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lseg_ros.datasets import Episodes, LabeledImages, spaced_indices
from lseg_ros.inference.preprocess import preprocess
from lseg_ros.model import LSeg
from lseg_ros.training.distillation import encode_imagenet_classes

__all__ = ["choose_strengths", "measure_presence", "measure_strengths", "set_branch_words"]

_HYPERNYM_WEIGHT = 0.5
_USUAL_PRESENCE = 0.0036  # a class with this presence has a strength of 1
_WEAKEST, _STRONGEST = 0.96, 3.0


def set_branch_words(model: LSeg, strengths: Tensor | None = None) -> None:
    """Set the words of the classifier branch of a network.

    Args:
        model: The network, which is changed in place.
        strengths: (classes,) strength of each class; None for 1.
    """
    assert model.decoder.classifier is not None
    embeddings = encode_imagenet_classes(model.encode_text, _HYPERNYM_WEIGHT)
    model.decoder.classifier.set_words(embeddings, torch.ones(len(embeddings)) if strengths is None else strengths)


def measure_strengths(
    model: LSeg, sets: Iterable[tuple[LabeledImages | Episodes, float]], count: int, longer_side: int
) -> Tensor:
    """Measure how strong each class of the classifier branch should be.

    The more often a class occurs in training, the weaker it is: the decoder knows what occurs there, but nothing else.
    With the same strength for all classes, the branch would be too weak for unknown things or too strong for known
    ones.

    Args:
        model: Network with a classifier branch.
        sets: Data sets with their shares of the training images. Those without labels do not count.
        count: Images to look at in each data set.
        longer_side: Longer side of the images in pixels, 0 keeps their size.

    Returns:
        (classes,) from 0.96 to 3.
    """
    presence = [share * measure_presence(model, images, count, longer_side) for images, share in sets if images.classes]
    return choose_strengths(torch.stack(presence).sum(dim=0))


def choose_strengths(presence: Tensor) -> Tensor:
    """Choose the strength of each class.

    Args:
        presence: (classes,) mean probability in the training images.

    Returns:
        (classes,) from 0.96 for common classes to 3 for absent ones.
    """
    return (_USUAL_PRESENCE / presence).sqrt().clamp(_WEAKEST, _STRONGEST)


@torch.inference_mode()
def measure_presence(model: LSeg, images: LabeledImages | Episodes, count: int, longer_side: int) -> Tensor:
    """Measure how much of some images the classifier branch gives to each class.

    Args:
        model: Network with a classifier branch.
        images: The images.
        count: Number of images to use, evenly spaced.
        longer_side: Longer side of the images in pixels, 0 keeps their size.

    Returns:
        (classes,) mean probabilities.
    """
    branch = model.decoder.classifier
    assert branch is not None
    model.eval()
    total = torch.zeros(branch.classes.out_channels)
    indices = spaced_indices(len(images), count)
    mean, std = model.config.image_mean, model.config.image_std
    for index in indices:
        pixels, _ = preprocess(images[index].image, longer_side, model.stride, mean, std)  # (1, 3, H, W)
        total += branch.classify(model.backbone(pixels)[-1]).softmax(dim=1).mean(dim=(0, 2, 3))
    return total / len(indices)
