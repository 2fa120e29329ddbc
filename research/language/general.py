"""General words: "furniture", "vehicle", "animal" and the paper's "furry"."""

from __future__ import annotations

import numpy as np
import torch

from lseg_ros.datasets import IGNORE
from lseg_ros.datasets.language_probes import GENERAL
from lseg_ros.evaluation.distributed import Process
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.synthetic import CLASSES
from research.language.config import SuiteConfig
from research.language.scenes import evaluation_scenes, iterate_scenes
from research.language.scores import SuiteScores, mean

__all__ = ["general"]


def general(config: SuiteConfig, process: Process) -> SuiteScores:
    """Score each general word on the pixels of the classes that it covers.

    The label set is the general word and the names of all classes that it does not cover. For comparison the suite also
    scores the covered classes by their own names, merged into one.
    """
    predictor, scenes = Predictor.from_config(config.evaluation, process), evaluation_scenes(config)
    class_labels = predictor.encode_labels(CLASSES)
    word_labels = {
        word: predictor.encode_labels([word, *(name for name in CLASSES if name not in members)])
        for word, members in GENERAL.items()
    }
    covered = {word: np.array([name in members for name in CLASSES]) for word, members in GENERAL.items()}
    by_word = {word: Confusion(["other", word]) for word in GENERAL}
    by_class = {word: Confusion(["other", word]) for word in GENERAL}
    for image, target in iterate_scenes(scenes, "general", process):
        embedded = predictor.segmenter.embed(image)
        classes = predictor.predict_encoded(embedded, class_labels).numpy()
        for word in GENERAL:
            word_target = torch.from_numpy(np.where(target == IGNORE, IGNORE, covered[word][target]))
            is_word = predictor.predict_encoded(embedded, word_labels[word]) == 0
            by_word[word].add(is_word.long(), word_target)
            by_class[word].add(torch.from_numpy(covered[word][classes]).long(), word_target)
    per_word = {word: by_word[word].scores().per_class[word] for word in GENERAL}
    figures = {"general words, mean IoU": mean(list(per_word.values()))}
    for word in GENERAL:
        figures[f"{word}: its members by name"] = by_class[word].scores().per_class[word] or 0.0
    return SuiteScores("general", len(scenes), figures, per_word, {})
