"""The data sets by name."""

from __future__ import annotations

from lseg_ros.datasets.config import LABELED, ZERO_SHOT, DatasetConfig
from lseg_ros.datasets.sample import Episodes, LabeledImages
from lseg_ros.datasets.synthetic import SyntheticScenes

__all__ = ["open_dataset", "open_episodes"]


def open_dataset(config: DatasetConfig) -> LabeledImages:
    """The labelled images that ``config`` names; files are listed now and read when a sample is taken.

    Raises ValueError for a zero-shot set (see ``open_episodes``) and, as sample access does too, FileNotFoundError or
    ValueError that name the path and what was expected there.
    """
    if config.dataset == "synthetic":
        return SyntheticScenes(config.frames, config.seed, config.split == "train", config.width, config.height)
    raise ValueError(f"dataset: expected one of {', '.join(LABELED)}, got {config.dataset!r}")


def open_episodes(config: DatasetConfig) -> Episodes:
    """The zero-shot test that ``config`` names; ValueError where its data set is not one, else as ``open_dataset``."""
    raise ValueError(f"dataset: expected one of {', '.join(ZERO_SHOT)}, got {config.dataset!r}")
