"""Labeled images for training and evaluation.

A data set has ``classes``, its label list, and returns a ``Sample`` for each index. A zero-shot test returns an
``Episode`` instead.
"""

from lseg_ros.datasets.catalog import open_dataset, open_episodes
from lseg_ros.datasets.config import LABELED, ZERO_SHOT, DatasetConfig
from lseg_ros.datasets.folder import has_val_split
from lseg_ros.datasets.sample import IGNORE, Episode, Episodes, LabeledImages, Sample, spaced_indices
from lseg_ros.datasets.synthetic import SyntheticScenes

__all__ = [
    "IGNORE",
    "LABELED",
    "ZERO_SHOT",
    "DatasetConfig",
    "Episode",
    "Episodes",
    "LabeledImages",
    "Sample",
    "SyntheticScenes",
    "has_val_split",
    "open_dataset",
    "open_episodes",
    "spaced_indices",
]
