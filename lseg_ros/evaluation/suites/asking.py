"""How a suite goes through its scenes: a network sees each of them once and is asked as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from lseg_ros.datasets import Sample, SyntheticScenes
from lseg_ros.evaluation.classifier import Classifier
from lseg_ros.evaluation.config import EvaluationConfig
from lseg_ros.evaluation.processes import processes

__all__ = ["mean", "network", "ratio", "samples", "scenes"]


def scenes(config: EvaluationConfig, *, colors: bool = False) -> SyntheticScenes:
    """The scenes that ``config`` names, of the split that no training sees."""
    data = config.data
    return SyntheticScenes(data.frames, data.seed, width=data.width, height=data.height, colors=colors)


def network(config: EvaluationConfig) -> Classifier:
    """The network that ``config`` names, on its device."""
    with processes() as process:
        return Classifier.of(config, process)


def samples(given: SyntheticScenes, suite: str) -> Iterator[Sample]:
    """One scene after the other, with a bar."""
    for index in tqdm(range(len(given)), desc=suite, unit="image"):
        yield given[index]


def ratio(part: float, whole: float) -> float:
    """part / whole, 0 where there is no whole."""
    return part / whole if whole else 0.0


def mean(values: Sequence[float | None]) -> float:
    """The mean of what is there, NaN where nothing is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else float("nan")
