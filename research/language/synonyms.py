"""The same scenes, asked with other words for the same things, which training never used."""

from __future__ import annotations

import torch

from lseg_ros.datasets.language_probes import SYNONYMS
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.synthetic import CLASSES
from research.language.asking import mean, network, ratio, samples, scenes
from research.language.config import SuiteConfig
from research.language.scores import SuiteScores

__all__ = ["synonyms"]


def synonyms(config: SuiteConfig) -> SuiteScores:
    """Every class by its own word, then, in as many rounds as a class has other words, by each of those in turn."""
    others = {name: [other for word, other in SYNONYMS if word == name] for name in CLASSES}
    count = max(map(len, others.values()))
    rounds = [
        [others[name][turn % len(others[name])] if others[name] else name for name in CLASSES] for turn in range(count)
    ]
    predictor, given = network(config), scenes(config)
    questions = [predictor.encode_labels(words) for words in (CLASSES, *rounds)]
    confusions = [Confusion(CLASSES) for _ in questions]
    for image, target in samples(given, "synonyms"):
        embedded = predictor.segmenter.embed(image)
        for question, confusion in zip(questions, confusions):
            confusion.add(predictor.predict_encoded(embedded, question), torch.from_numpy(target))
    own, *asked = (confusion.scores().per_class for confusion in confusions)
    per_word = {
        f"{other} ({name})": round_[name]
        for words, round_ in zip(rounds, asked)
        for name, other in zip(CLASSES, words)
        if other != name
    }
    whole, part = mean(list(own.values())), mean([mean(list(round_.values())) for round_ in asked])
    renamed = [name for name in CLASSES if others[name]]
    whole_renamed, part_renamed = mean([own[name] for name in renamed]), mean(list(per_word.values()))
    figures = {
        "own words, mean IoU": whole,
        "other words, mean IoU": part,
        "other words / own words": ratio(part, whole),
        "own words, classes with others": whole_renamed,
        "other words alone": part_renamed,
        "other words alone / own words": ratio(part_renamed, whole_renamed),
    }
    goals = {"other words / own words": 0.85, "other words alone / own words": 0.85}
    return SuiteScores("synonyms", len(given), figures, per_word, goals)
