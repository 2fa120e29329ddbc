"""Logits -> label map and confidence, at the size of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lseg_ros.vocabulary import UNLABELED

__all__ = ["postprocess", "upsample"]

# Logits at full size are made for a few labels at a time: all 254 at 1280x720 would be a gigabyte. A CPU's caches like
# it smaller still; a GPU likes it larger.
_MOST_VALUES = {"cpu": 1 << 22, "cuda": 1 << 26}


def postprocess(
    logits: Tensor, filled: tuple[int, int], size: tuple[int, int], ids: Tensor, unlabeled_threshold: float = 0.0
) -> Tensor:
    """Logits (1, K, h'/2, w'/2) -> (2, H, W) uint8: the label map and, second, the confidence.

    filled: the (h, w) of the network's input that the image fills. size: (H, W) of the image. ids: (K,) uint8 on the
    logits' device. A pixel whose winner has a softmax below ``unlabeled_threshold`` is unlabelled. Confidence is the
    winner's softmax x 255, rounded, at least 1 where labelled, 0 where not.

    Upsampling is the official one, x2 bilinear with align_corners=True, and then the padding is cut off. Where the
    image had been resized, a second one (bilinear, pixel areas aligned, as the resizing was) leads to its size.
    """
    labels = logits.shape[1]
    step = max(_MOST_VALUES.get(logits.device.type, 1 << 22) // (size[0] * size[1]), 1)
    best, total, winner = _best(upsample(logits[:, :step], filled, size))
    for first in range(step, labels, step):
        other, other_total, other_winner = _best(upsample(logits[:, first : first + step], filled, size))
        better = other > best  # of equals the first wins, as in argmax
        highest = torch.maximum(best, other)
        total = total * (best - highest).exp_() + other_total * (other - highest).exp_()
        winner = torch.where(better, other_winner + first, winner)
        best = highest
    probability = 1 / total  # of the winner: exp(best - best) over the sum of exp(logit - best)
    confidence = (probability * 255).round_().clamp_(1, 255).to(torch.uint8)
    label_map = ids[winner]
    if unlabeled_threshold > 0:
        unsure = probability < unlabeled_threshold
        label_map.masked_fill_(unsure, UNLABELED)
        confidence.masked_fill_(unsure, 0)
    return torch.stack([label_map, confidence])


def upsample(logits: Tensor, filled: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(1, k, h'/2, w'/2) -> (k, H, W) float32."""
    logits = F.interpolate(logits.float(), scale_factor=2, mode="bilinear", align_corners=True)  # (1, k, h', w')
    logits = logits[..., : filled[0], : filled[1]]
    if filled != size:
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return logits[0]


def _best(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(k, H, W) -> the highest logit, the sum of exp(logit - highest), the index of the highest; each (H, W)."""
    best, winner = logits.max(dim=0)
    return best, (logits - best).exp_().sum(dim=0), winner
