"""Zero-shot folds in the manner of PASCAL-5i: classes that training left out, asked as [others, class]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.datasets.language_probes import FOLDS
from lseg_ros.evaluation.distributed import sum_over_processes
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import EpisodeConfusion, EpisodeScores
from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.synthetic import CLASSES
from research.language.asking import mean, own_device, samples
from research.language.config import SuiteConfig
from research.language.networks import comparison_network, comparison_scenes
from research.language.scores import SuiteScores

__all__ = ["zero_shot"]

_LEAST_PX = 16  # of a class, for it to be asked for in a scene of 160x120


def zero_shot(config: SuiteConfig) -> SuiteScores:
    """Each class in view is asked for, of the network that its fold was left out of and of one that saw all classes.

    Chance is a coin for each pixel.
    """
    given, device = comparison_scenes(config), own_device(config)
    saw = Predictor.from_model(comparison_network("all", device))
    per_word: dict[str, float | None] = {}
    columns: dict[str, list[EpisodeScores]] = {"left out": [], "seen": [], "chance": []}
    for number, fold in enumerate(FOLDS):
        blind = Predictor.from_model(comparison_network(f"fold_{number}", device))
        counts = _asked({"left out": blind, "seen": saw}, given, fold, f"fold {number}")
        for name, confusion in counts.items():
            columns[name].append(confusion.scores())
        per_word.update(columns["left out"][-1].per_class)
        columns["chance"].append(EpisodeScores.from_counts(_coin(counts["seen"]), fold))
    figures = {}
    for name, folds in columns.items():
        figures[f"{name}, mean IoU"] = mean([scores.miou for scores in folds])
        figures[f"{name}, FB-IoU"] = mean([scores.fb_iou for scores in folds])
    for number, scores in enumerate(columns["left out"]):
        figures[f"left out, fold {number}, mean IoU"] = scores.miou
    return SuiteScores("zero-shot", len(given), figures, per_word, {})


def _asked(
    classifiers: dict[str, Predictor], given: SyntheticScenes, fold: tuple[str, ...], title: str
) -> dict[str, EpisodeConfusion]:
    counts = {name: EpisodeConfusion(fold) for name in classifiers}
    questions = {
        (name, word): each.encode_labels((OTHERS, word)) for name, each in classifiers.items() for word in fold
    }
    numbers = {word: CLASSES.index(word) for word in fold}
    for image, target in samples(given, title):
        words = [word for word, number in numbers.items() if (target == number).sum() >= _LEAST_PX]
        for name, predictor in classifiers.items():
            embedded = predictor.segmenter.embed(image)
            for word in words:
                truth = torch.from_numpy((target == numbers[word]).astype(np.int16))
                counts[name].add(predictor.predict_encoded(embedded, questions[name, word]), truth, fold.index(word))
    return counts


def _coin(confusion: EpisodeConfusion) -> Tensor:
    """(K, 2, 2) what a coin for each pixel would count on average."""
    truth = confusion.per_class_counts(sum_over_processes(confusion.counts)).sum(2, keepdim=True)
    return (truth / 2).expand(-1, -1, 2)
