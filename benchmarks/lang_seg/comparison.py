"""Compare the network with the authors' order of operations.

Both use the same image, words and weights, and are measured in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.lang_seg.official_order import OfficialOrder
from lseg_ros.benchmark import Timing, measure_interleaved
from lseg_ros.benchmark.stages import Network
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
    """Compare a segmenter with the authors' order of operations.

    Args:
        segmenter: The implementation under test.
        model: The network of the segmenter in float32, as loaded from the checkpoint.
        encoded: The words.
        x: (1, 3, h', w') float32 input; h' and w' are multiples of the stride.
        budget_s: Time to spend on each of the two, in seconds.
    """
    official, network = OfficialOrder(model.to(segmenter.device)), Network(segmenter)
    texts = [label.name for label in encoded.vocabulary.labels]
    our_x, size = x.to(segmenter.dtype), (x.shape[2], x.shape[3])
    our_logits = network.logits(our_x, encoded)  # (1, K, h'/2, w'/2)
    # By default PyTorch runs convolutions on a GPU in TF32, which would make the reference inexact.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = official.logits(x, texts)  # (1, K, h', w')
    max_delta = _max_difference(our_logits, expected)
    expected_ids = encoded.ids[expected[0].argmax(dim=0)]
    agreement = float((network.label(our_x, encoded, size, size)[0] == expected_ids).float().mean())
    del our_logits, expected  # free the memory before measuring
    timings = measure_interleaved(
        {
            "ours": lambda: network.label(our_x, encoded, size, size),
            "official": lambda: official.label_map(x, texts),
        },
        budget_s,
        segmenter.device,
    )
    ours, theirs = timings["ours"], timings["official"]
    return Comparison(ours, theirs, theirs.median_ms / ours.median_ms, max_delta, agreement)


def _max_difference(half_size: Tensor, full_size: Tensor) -> float:
    """Largest difference of logits (1, K, h, w) from (1, K, 2 h, 2 w).

    Compares one label at a time to save memory.
    """
    max_delta = 0.0
    for logits, expected in zip(half_size[0], full_size[0]):
        upsampled = F.interpolate(logits[None, None], scale_factor=2, mode="bilinear", align_corners=True)
        max_delta = max(max_delta, float((upsampled[0, 0] - expected).abs().max()))
    return max_delta
