"""Colors: "red ball" against "blue ball", in combinations of color and class that training never named."""

from __future__ import annotations

import numpy as np
import torch

from lseg_ros.datasets import IGNORE
from lseg_ros.datasets.language_probes import UNSEEN
from lseg_ros.evaluation.distributed import sum_over_processes
from lseg_ros.evaluation.scores import Confusion, Scores
from lseg_ros.synthetic import CLASSES
from research.language.asking import mean, network, ratio, samples, scenes
from research.language.config import SuiteConfig
from research.language.scores import SuiteScores

__all__ = ["attributes"]


def attributes(config: SuiteConfig) -> SuiteScores:
    """In each scene each class of an unseen combination that is in view is asked for in every color, all else plainly.

    The IoU of a combination is over the scenes in which its class is in view. Beside it stands that of the other
    colors of the same classes, which training did show, and of the classes asked for without a color.
    """
    predictor, given = network(config), scenes(config, colors=True)
    words, general = given.classes, np.array(given.general)
    kinds = sorted({words.index(name) for name, _ in UNSEEN})
    plainly = predictor.encode_labels(words[: len(CLASSES)])
    asked = {kind: _split(general, kind) for kind in kinds}
    questions = {kind: predictor.encode_labels([words[index] for index in asked[kind]]) for kind in kinds}
    plain, split = Confusion(CLASSES), {kind: Confusion([words[index] for index in asked[kind]]) for kind in kinds}
    for image, target in samples(given, "attributes"):
        embedded = predictor.segmenter.embed(image)
        known = np.append(general, IGNORE)[target]  # (H, W), by class
        plain.add(predictor.predict_encoded(embedded, plainly), torch.from_numpy(known))
        for kind in kinds:
            if (known == kind).any():
                places = _places(asked[kind], general)
                split[kind].add(predictor.predict_encoded(embedded, questions[kind]), torch.from_numpy(places[target]))
    counted = {kind: sum_over_processes(confusion.counts) for kind, confusion in split.items()}
    per_word = {
        word: iou
        for kind, counts in counted.items()
        if counts.any()
        for word, iou in Scores.from_counts(counts, split[kind].classes).per_class.items()
        if word not in CLASSES
    }
    unseen = {f"{color} {name}" for name, color in UNSEEN}
    by_class = plain.scores()
    figures = {
        "unseen combinations, mean IoU": mean([iou for word, iou in per_word.items() if word in unseen]),
        "seen combinations, mean IoU": mean([iou for word, iou in per_word.items() if word not in unseen]),
        "without colors, these classes": mean([by_class.per_class[words[kind]] for kind in kinds]),
        "without colors, all classes": by_class.miou,
    }
    figures["unseen / without colors"] = ratio(
        figures["unseen combinations, mean IoU"], figures["without colors, all classes"]
    )
    return SuiteScores("attributes", len(given), figures, per_word, {"unseen / without colors": 0.8})


def _split(general: np.ndarray, kind: int) -> list[int]:
    """What is asked: every class, ``kind`` by its colors."""
    plain = [index for index in range(len(CLASSES)) if index != kind]
    return plain + [index for index in np.flatnonzero(general == kind).tolist() if index != kind]


def _places(asked: list[int], general: np.ndarray) -> np.ndarray:
    """(words + 1,) int16: the place of each word in the question, or of its class; IGNORE reads the last."""
    place = {index: number for number, index in enumerate(asked)}
    return np.array(
        [*(place.get(index, place.get(int(kind), IGNORE)) for index, kind in enumerate(general)), IGNORE], np.int16
    )
