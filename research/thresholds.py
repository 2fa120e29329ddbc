"""Measure query_threshold and unlabeled_threshold on a labeled data set.

``python -m research.thresholds --dataset folder --root DATA/rooms --split val --images 30`` prints, for several values
of each threshold, what the two tables of docs/embedded-network.md contain.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from lseg_ros.datasets import IGNORE, DatasetConfig, LabeledImages, open_dataset, spaced_indices
from lseg_ros.inference import Segmenter, SegmenterConfig, similarity
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import Vocabulary
from research.command_line import run_script

__all__ = ["QueryShares", "ThresholdConfig", "UnlabeledShares", "main", "measure_queries", "measure_unlabeled"]


@dataclass(frozen=True)
class ThresholdConfig:
    """Measure the thresholds of queries and of unlabeled pixels on a labeled data set."""

    checkpoint: str = setting("demo", "network to measure")
    data: DatasetConfig = dataclasses.field(default_factory=DatasetConfig)
    images: int = setting(30, "images to use, evenly spaced; 0: all", minimum=0)
    query_thresholds: tuple[float, ...] = setting((0.5, 0.55, 0.6), "values of query_threshold")
    unlabeled_thresholds: tuple[float, ...] = setting((0.0, 0.4, 0.5, 0.6), "values of unlabeled_threshold")

    def __post_init__(self) -> None:
        check(self)


class QueryShares(NamedTuple):
    """How often a query is answered right.

    Attributes:
        present: Share of found labels among those that are in the image.
        absent: Share of labels that are not found among those that are not in the image.
    """

    present: float
    absent: float


class UnlabeledShares(NamedTuple):
    """What a threshold does to pixels when half of the labels are requested.

    Attributes:
        requested: Share of the pixels of requested labels that get their label.
        others: Share of the other pixels that stay unlabeled.
    """

    requested: float
    others: float


def measure_queries(
    segmenter: Segmenter, images: LabeledImages, indices: list[int], thresholds: tuple[float, ...]
) -> list[QueryShares]:
    """Query every label of the set in every image, as ``~/query`` does.

    Args:
        segmenter: Runs the network.
        images: The data set. A label that is not in the mask counts as absent.
        indices: Images to use.
        thresholds: Values of ``query_threshold``.
    """
    words = torch.cat([segmenter.encode(Vocabulary.of([name]), competing=False).embeddings for name in images.classes])
    scores, present = [], []
    for index in tqdm(indices, desc="queries", unit="image"):
        image, target = images[index]
        embedded = segmenter.embed(image)
        scores.append([float(similarity(embedded, word).max()) for word in words])
        present.append(np.isin(range(len(words)), target))
    best, is_present = np.array(scores), np.array(present)
    return [
        QueryShares(_share(best[is_present] >= threshold), _share(best[~is_present] < threshold))
        for threshold in thresholds
    ]


def measure_unlabeled(
    segmenter: Segmenter, images: LabeledImages, indices: list[int], thresholds: tuple[float, ...]
) -> list[UnlabeledShares]:
    """Segment every image with a random half of the labels.

    Args:
        segmenter: Runs the network.
        images: The data set. Pixels without a label do not count.
        indices: Images to use.
        thresholds: Values of ``unlabeled_threshold``.
    """
    rng = np.random.default_rng(0)
    counts = np.zeros((len(thresholds), 2, 2))  # right and all pixels, of requested labels and of others
    for index in tqdm(indices, desc="unlabeled", unit="image"):
        image, target = images[index]
        requested = np.sort(rng.permutation(len(images.classes))[: max(len(images.classes) // 2, 1)])
        encoded = segmenter.encode(Vocabulary.of([images.classes[number] for number in requested]))
        ids = np.zeros(len(images.classes) + 1, np.uint8)  # the last one is that of IGNORE
        ids[requested] = [label.id for label in encoded.vocabulary.labels]
        wanted, embedded = ids[target], segmenter.embed(image)
        groups = (wanted > 0), (wanted == 0) & (target != IGNORE)
        for count, threshold in zip(counts, thresholds):
            right = segmenter.label(embedded, encoded, threshold).label_map == wanted
            for row, group in zip(count, groups):
                row += np.count_nonzero(right & group), np.count_nonzero(group)
    return [UnlabeledShares(*(float(right / max(all_, 1)) for right, all_ in count)) for count in counts]


def main(config: ThresholdConfig) -> None:
    """Print the shares of every threshold."""
    segmenter = Segmenter.from_checkpoint(SegmenterConfig(checkpoint=config.checkpoint, precision="float32"))
    images = open_dataset(config.data)
    indices = spaced_indices(len(images), config.images)
    queries = measure_queries(segmenter, images, indices, config.query_thresholds)
    for threshold, query in zip(config.query_thresholds, queries):
        print(f"query_threshold {threshold}: found if present {query.present:.2f}, not if absent {query.absent:.2f}")
    unlabeled = measure_unlabeled(segmenter, images, indices, config.unlabeled_thresholds)
    for threshold, shares in zip(config.unlabeled_thresholds, unlabeled):
        print(f"unlabeled_threshold {threshold}: right {shares.requested:.2f}, others dropped {shares.others:.2f}")


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")


if __name__ == "__main__":
    sys.exit(run_script("research.thresholds", ThresholdConfig, main))
