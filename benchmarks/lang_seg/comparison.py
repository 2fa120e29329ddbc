"""Our network beside the authors' order of operations: the same image, words and weights, in turn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.lang_seg.official_order import OfficialOrder
from lseg_ros.benchmark.stages import Network
from lseg_ros.benchmark.timing import Timing, measure_in_turn
from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.model import LSeg

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        ours: Time from an image on the device to mask and confidence.
        official: Time from image and words to the arg max, in float32.
        speedup: Ratio of the medians, official / ours.
        max_delta: Largest difference of any logit at full size.
        agreement: Share of pixels with the same label, 0 to 1.
    """

    ours: Timing
    official: Timing
    speedup: float
    max_delta: float
    agreement: float


@torch.inference_mode()
def compare(segmenter: Segmenter, model: LSeg, encoded: EncodedVocabulary, x: Tensor, budget_s: float) -> Comparison:
    """model: the segmenter's network in float32. x: (1, 3, h', w') float32, h' and w' multiples of the stride."""
    official, network = OfficialOrder(model.to(segmenter.device)), Network(segmenter)
    texts = [label.name for label in encoded.vocabulary.labels]
    ours_x, size = x.to(segmenter.dtype), (x.shape[2], x.shape[3])
    delta = 0.0
    logits = network.logits(ours_x, encoded)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # on a GPU PyTorch rounds convolutions by default
        expected = official.logits(x, texts)
    for each, other in zip(logits[0], expected[0]):  # one by one: twice K x H x W is much
        full = F.interpolate(each[None, None], scale_factor=2, mode="bilinear", align_corners=True)
        delta = max(delta, float((full[0, 0] - other).abs().max()))
    labeled = encoded.ids[expected[0].argmax(dim=0)]
    agreement = float((network.label(ours_x, encoded, size, size)[0] == labeled).float().mean())
    del logits, expected
    timings = measure_in_turn(
        {
            "ours": lambda: network.label(ours_x, encoded, size, size),
            "official": lambda: official.label_map(x, texts),
        },
        budget_s,
        segmenter.device,
    )
    ours, theirs = timings["ours"], timings["official"]
    return Comparison(ours, theirs, theirs.median_ms / ours.median_ms, delta, agreement)
