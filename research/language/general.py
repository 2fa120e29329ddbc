"""General words: "furniture", "vehicle", "animal" and the paper's "furry", beside names of what they do not cover."""

from __future__ import annotations

import numpy as np
import torch

from lseg_ros.datasets import IGNORE
from lseg_ros.datasets.language_probes import GENERAL
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.synthetic import CLASSES
from research.language.asking import mean, network, samples, scenes
from research.language.config import SuiteConfig
from research.language.scores import SuiteScores

__all__ = ["general"]


def general(config: SuiteConfig) -> SuiteScores:
    """The IoU of each general word with all pixels of its members, and of its members as one when asked by their names.

    A word is asked together with the names of all classes that it does not cover.
    """
    predictor, given = network(config), scenes(config)
    by_name, by_word = predictor.encode_labels(CLASSES), {}
    covers = {word: np.array([name in members for name in CLASSES]) for word, members in GENERAL.items()}
    for word, members in GENERAL.items():
        by_word[word] = predictor.encode_labels([word, *(name for name in CLASSES if name not in members)])
    found = {word: Confusion(["else", word]) for word in GENERAL}
    named = {word: Confusion(["else", word]) for word in GENERAL}
    for image, target in samples(given, "general"):
        embedded = predictor.segmenter.embed(image)
        names = predictor.predict_encoded(embedded, by_name).numpy()
        for word in GENERAL:
            truth = torch.from_numpy(np.where(target == IGNORE, IGNORE, covers[word][target]))
            found[word].add((predictor.predict_encoded(embedded, by_word[word]) == 0).long(), truth)
            named[word].add(torch.from_numpy(covers[word][names]).long(), truth)
    per_word = {word: found[word].scores().per_class[word] for word in GENERAL}
    figures = {"general words, mean IoU": mean(list(per_word.values()))}
    for word in GENERAL:
        figures[f"{word}: its members by name"] = named[word].scores().per_class[word] or 0.0
    return SuiteScores("general", len(given), figures, per_word, {})
