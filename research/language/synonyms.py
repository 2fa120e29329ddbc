"""Synonyms: other words for the classes, which training never used."""

from __future__ import annotations

import torch

from lseg_ros.datasets.language_probes import SYNONYMS
from lseg_ros.evaluation.distributed import Process
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import Confusion
from lseg_ros.synthetic import CLASSES
from research.language.config import SuiteConfig
from research.language.scenes import evaluation_scenes, iterate_scenes
from research.language.scores import SuiteScores, mean, ratio

__all__ = ["synonyms"]


def synonyms(config: SuiteConfig, process: Process) -> SuiteScores:
    """Score the classes by their own names, then in several rounds by synonyms.

    There are as many rounds as the class with the most synonyms has; in each round every class with synonyms is called
    by one of them.
    """
    synonyms_by_class = {name: [synonym for word, synonym in SYNONYMS if word == name] for name in CLASSES}
    round_count = max(map(len, synonyms_by_class.values()))
    rounds = [
        [found[number % len(found)] if found else name for name, found in synonyms_by_class.items()]
        for number in range(round_count)
    ]
    predictor, scenes = Predictor.from_config(config.evaluation, process), evaluation_scenes(config)
    label_sets = [predictor.encode_labels(words) for words in (CLASSES, *rounds)]
    confusions = [Confusion(CLASSES) for _ in label_sets]
    for image, target in iterate_scenes(scenes, "synonyms", process):
        embedded = predictor.segmenter.embed(image)
        for labels, confusion in zip(label_sets, confusions):
            confusion.add(predictor.predict_encoded(embedded, labels), torch.from_numpy(target))
    own, *by_round = (confusion.scores().per_class for confusion in confusions)
    per_word = {
        f"{word} ({name})": per_class[name]
        for words, per_class in zip(rounds, by_round)
        for name, word in zip(CLASSES, words)
        if word != name
    }
    own_miou = mean(list(own.values()))
    synonym_miou = mean([mean(list(per_class.values())) for per_class in by_round])
    own_miou_renamed = mean([own[name] for name in CLASSES if synonyms_by_class[name]])
    synonym_miou_renamed = mean(list(per_word.values()))
    figures = {
        "own words, mean IoU": own_miou,
        "other words, mean IoU": synonym_miou,
        "other words / own words": ratio(synonym_miou, own_miou),
        "own words, classes with others": own_miou_renamed,
        "other words alone": synonym_miou_renamed,
        "other words alone / own words": ratio(synonym_miou_renamed, own_miou_renamed),
    }
    goals = {"other words / own words": 0.85, "other words alone / own words": 0.85}
    return SuiteScores("synonyms", len(scenes), figures, per_word, goals)
