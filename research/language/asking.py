"""How a suite goes through its scenes: a network sees each of them once and is asked as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from lseg_ros.datasets import Sample, SyntheticScenes
from lseg_ros.evaluation.distributed import process_group
from lseg_ros.evaluation.predictor import Predictor
from research.language.config import SuiteConfig

__all__ = ["mean", "network", "own_device", "ratio", "samples", "scenes"]


def scenes(config: SuiteConfig, *, colors: bool = False) -> SyntheticScenes:
    """The scenes that ``config`` names, of the split that no training sees."""
    return SyntheticScenes(config.frames, config.seed, width=config.width, height=config.height, colors=colors)


def network(config: SuiteConfig) -> Predictor:
    """The network that ``config`` names, on its device."""
    with process_group() as process:
        return Predictor.from_config(config.evaluation, process)


def own_device(config: SuiteConfig) -> str:
    """The device that ``config`` names, this process's own where there are several."""
    with process_group() as process:
        return process.device(config.device)


def samples(given: SyntheticScenes, suite: str) -> Iterator[Sample]:
    """One scene after the other of this process's share, with a bar."""
    with process_group() as process:
        share = process.share(range(len(given)))
        for index in tqdm(share, desc=suite, unit="image", disable=not process.is_first):
            yield given[index]


def ratio(part: float, whole: float) -> float:
    """part / whole, 0 where there is no whole."""
    return part / whole if whole else 0.0


def mean(values: Sequence[float | None]) -> float:
    """The mean of what is there, NaN where nothing is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else float("nan")
