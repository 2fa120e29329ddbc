"""How the time of a frame scales with labels and with pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lseg_ros.benchmark.stages import Network
from lseg_ros.benchmark.timing import Timing, measure_in_turn
from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.vocabulary import MAX_ID, Vocabulary

__all__ = ["LABELS", "Scaling", "exponent", "with_labels", "with_size", "words"]

LABELS = (5, 20, 60, 150, MAX_ID)
_SCALES = (0.5, 0.75, 1.0, 1.5)


@dataclass(frozen=True)
class Scaling:
    """The network as a whole, with a number of labels or of pixels. what: as people read it."""

    what: str
    count: int
    timing: Timing


def words(count: int) -> Vocabulary:
    """A vocabulary of so many labels that the benchmark can do with: of a usual length, and all different."""
    return Vocabulary.of(f"thing {number}" for number in range(1, count + 1))


def with_labels(segmenter: Segmenter, x: Tensor, budget_s: float) -> list[Scaling]:
    """x: (1, 3, h', w') on the device, in the encoder's dtype."""
    encoded = {str(count): segmenter.encode(words(count)) for count in LABELS}
    return _measured(segmenter, {name: (x, each, len(each.ids)) for name, each in encoded.items()}, budget_s)


def with_size(segmenter: Segmenter, encoded: EncodedVocabulary, x: Tensor, budget_s: float) -> list[Scaling]:
    """Inputs of half to one and a half the height and width of x."""
    stride = segmenter.model.stride
    sizes = {tuple(max(round(side * scale / stride), 2) * stride for side in x.shape[2:]) for scale in _SCALES}
    cases = {}
    for height, width in sorted(sizes):
        resized = torch.nn.functional.interpolate(x, size=(height, width), mode="nearest")
        cases[f"{width}x{height}"] = (resized, encoded, height * width)
    return _measured(segmenter, cases, budget_s)


def exponent(scaling: list[Scaling]) -> float:
    """Of the power of the count that the medians follow best: 1 where they grow as the count does."""
    counts, medians = zip(*((each.count, each.timing.median_ms) for each in scaling))
    return float(np.polyfit(np.log(counts), np.log(medians), 1)[0])


def _measured(
    segmenter: Segmenter, cases: dict[str, tuple[Tensor, EncodedVocabulary, int]], budget_s: float
) -> list[Scaling]:
    network = Network(segmenter)

    def run(x: Tensor, encoded: EncodedVocabulary, _: int) -> Tensor:
        size = (x.shape[2], x.shape[3])
        return network.label(x, encoded, size, size)

    runs = {name: (lambda case=case: run(*case)) for name, case in cases.items()}
    timings = measure_in_turn(runs, budget_s, segmenter.device)
    return [Scaling(name, case[2], timings[name]) for name, case in cases.items()]
