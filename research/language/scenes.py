"""Scenes of a suite, from the split of the synthetic world that training never uses."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm

from lseg_ros.datasets import Sample, SyntheticScenes
from lseg_ros.evaluation.distributed import Process
from research.language.config import SuiteConfig

__all__ = ["comparison_scenes", "evaluation_scenes", "iterate_scenes"]

_COMPARISON_SIZE = (160, 120)  # pixels; the comparison networks were trained at this size


def evaluation_scenes(config: SuiteConfig, *, colors: bool = False) -> SyntheticScenes:
    """Return the scenes of the settings, with labels such as "red ball" if ``colors`` is set."""
    return SyntheticScenes(config.frames, config.seed, width=config.width, height=config.height, colors=colors)


def comparison_scenes(config: SuiteConfig) -> SyntheticScenes:
    """Return the scenes of the settings in the image size of the comparison networks."""
    return SyntheticScenes(config.frames, config.seed, width=_COMPARISON_SIZE[0], height=_COMPARISON_SIZE[1])


def iterate_scenes(scenes: SyntheticScenes, title: str, process: Process) -> Iterator[Sample]:
    """Yield the share of a process, with a progress bar in the first one."""
    for index in tqdm(process.share(range(len(scenes))), desc=title, unit="image", disable=not process.is_first):
        yield scenes[index]
