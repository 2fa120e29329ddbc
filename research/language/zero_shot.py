"""Zero-shot folds like those of PASCAL-5i: unseen classes, tested as [others, class]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lseg_ros.datasets import SyntheticScenes
from lseg_ros.datasets.language_probes import FOLDS
from lseg_ros.evaluation.distributed import Process, sum_over_processes
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import EpisodeConfusion, EpisodeScores
from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.synthetic import CLASSES
from research.language.config import SuiteConfig
from research.language.networks import load_comparison_network
from research.language.scenes import comparison_scenes, iterate_scenes
from research.language.scores import SuiteScores, mean

__all__ = ["zero_shot"]

_MIN_PIXELS = 16  # a class counts in a scene of 160x120 if it has at least this many


def zero_shot(config: SuiteConfig, process: Process) -> SuiteScores:
    """Score each visible class with networks that did not and did see it in training.

    "left out" is the network without the classes of the fold, and "seen" is the one trained on all classes. "chance" is
    a coin flip for each pixel.
    """
    scenes, device = comparison_scenes(config), process.device(config.device)
    trained_on_all = Predictor.from_model(load_comparison_network("all", device))
    per_word: dict[str, float | None] = {}
    fold_scores: dict[str, list[EpisodeScores]] = {"left out": [], "seen": [], "chance": []}
    for number, fold in enumerate(FOLDS):
        left_out = Predictor.from_model(load_comparison_network(f"fold_{number}", device))
        predictors = {"left out": left_out, "seen": trained_on_all}
        confusions = _score_fold(predictors, scenes, fold, f"fold {number}", process)
        for name, confusion in confusions.items():
            fold_scores[name].append(confusion.scores())
        per_word.update(fold_scores["left out"][-1].per_class)
        fold_scores["chance"].append(EpisodeScores.from_counts(_chance_counts(confusions["seen"]), fold))
    figures = {}
    for name, folds in fold_scores.items():
        figures[f"{name}, mean IoU"] = mean([scores.miou for scores in folds])
        figures[f"{name}, FB-IoU"] = mean([scores.fb_iou for scores in folds])
    for number, scores in enumerate(fold_scores["left out"]):
        figures[f"left out, fold {number}, mean IoU"] = scores.miou
    return SuiteScores("zero-shot", len(scenes), figures, per_word, {})


def _score_fold(
    predictors: dict[str, Predictor], scenes: SyntheticScenes, fold: tuple[str, ...], title: str, process: Process
) -> dict[str, EpisodeConfusion]:
    confusions = {network: EpisodeConfusion(fold) for network in predictors}
    labels = {
        (network, name): predictor.encode_labels((OTHERS, name))
        for network, predictor in predictors.items()
        for name in fold
    }
    for image, target in iterate_scenes(scenes, title, process):
        masks = {name: target == CLASSES.index(name) for name in fold}
        visible = {
            name: torch.from_numpy(mask.astype(np.int16)) for name, mask in masks.items() if mask.sum() >= _MIN_PIXELS
        }
        for network, predictor in predictors.items():
            embedded = predictor.segmenter.embed(image)
            for name, episode_target in visible.items():
                prediction = predictor.predict_encoded(embedded, labels[network, name])
                confusions[network].add(prediction, episode_target, fold.index(name))
    return confusions


def _chance_counts(confusion: EpisodeConfusion) -> Tensor:
    """Return (K, 2, 2), the expected counts of a coin flip for each pixel."""
    target = confusion.per_class_counts(sum_over_processes(confusion.counts)).sum(2, keepdim=True)
    return (target / 2).expand(-1, -1, 2)
