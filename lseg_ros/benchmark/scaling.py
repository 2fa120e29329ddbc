"""Measure how the time of a frame scales with the number of labels and the image size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lseg_ros.benchmark.stages import Network, make_vocabulary
from lseg_ros.benchmark.timing import Timing, measure_interleaved
from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.vocabulary import MAX_ID

__all__ = ["LABEL_COUNTS", "ScalingPoint", "fit_exponent", "measure_label_scaling", "measure_size_scaling"]

LABEL_COUNTS = (5, 20, 60, 150, MAX_ID)
_SIZE_FACTORS = (0.5, 0.75, 1.0, 1.5)


@dataclass(frozen=True)
class ScalingPoint:
    """Time of the whole network for one number of labels or one image size.

    Attributes:
        name: Number of labels, or WIDTHxHEIGHT of the network input.
        count: Number of labels, or of pixels.
        timing: The time.
    """

    name: str
    count: int
    timing: Timing


def measure_label_scaling(segmenter: Segmenter, x: Tensor, budget_s: float) -> list[ScalingPoint]:
    """Measure the network with 5 to 254 labels.

    The input x is (1, 3, h', w') on the device, in the encoder's dtype.
    """
    cases = {}
    for count in LABEL_COUNTS:
        cases[str(count)] = (x, segmenter.encode(make_vocabulary(count)), count)
    return _measure(segmenter, cases, budget_s)


def measure_size_scaling(
    segmenter: Segmenter, encoded: EncodedVocabulary, x: Tensor, budget_s: float
) -> list[ScalingPoint]:
    """Measure the network with inputs of 0.5 to 1.5 times the height and width of x."""
    stride = segmenter.model.stride
    sizes = {tuple(max(round(side * factor / stride), 2) * stride for side in x.shape[2:]) for factor in _SIZE_FACTORS}
    cases = {}
    for height, width in sorted(sizes):
        resized = torch.nn.functional.interpolate(x, size=(height, width), mode="nearest")
        cases[f"{width}x{height}"] = (resized, encoded, height * width)
    return _measure(segmenter, cases, budget_s)


def fit_exponent(points: Sequence[ScalingPoint]) -> float:
    """Exponent of the power law that fits the medians best.

    1 means that time is proportional to the count.
    """
    counts, medians = zip(*((point.count, point.timing.median_ms) for point in points))
    return float(np.polyfit(np.log(counts), np.log(medians), 1)[0])


def _measure(
    segmenter: Segmenter, cases: Mapping[str, tuple[Tensor, EncodedVocabulary, int]], budget_s: float
) -> list[ScalingPoint]:
    network = Network(segmenter)

    def run(x: Tensor, encoded: EncodedVocabulary, _: int) -> Tensor:
        size = (x.shape[2], x.shape[3])
        return network.label(x, encoded, size, size)

    calls = {name: (lambda case=case: run(*case)) for name, case in cases.items()}
    timings = measure_interleaved(calls, budget_s, segmenter.device)
    return [ScalingPoint(name, count, timings[name]) for name, (_, _, count) in cases.items()]
