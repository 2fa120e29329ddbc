"""Attributes: "red ball" versus "blue ball", in combinations unseen in training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lseg_ros.datasets import IGNORE
from lseg_ros.datasets.language_probes import UNSEEN
from lseg_ros.evaluation.distributed import Process, sum_over_processes
from lseg_ros.evaluation.predictor import Predictor
from lseg_ros.evaluation.scores import Confusion, Scores
from lseg_ros.synthetic import CLASSES
from research.language.config import SuiteConfig
from research.language.scenes import evaluation_scenes, iterate_scenes
from research.language.scores import SuiteScores, mean, ratio

__all__ = ["attributes"]


def attributes(config: SuiteConfig, process: Process) -> SuiteScores:
    """Split each class with unseen colors by color, one class at a time, and score them.

    The IoU of a combination counts the scenes in which its class is visible. For comparison the suite also scores the
    combinations of the same classes that training did use, and all classes without colors.
    """
    predictor, scenes = Predictor.from_config(config.evaluation, process), evaluation_scenes(config, colors=True)
    words, class_of_word = scenes.classes, np.array(scenes.general)
    split_classes = sorted({words.index(name) for name, _ in UNSEEN})
    plain_labels, plain = predictor.encode_labels(words[: len(CLASSES)]), Confusion(CLASSES)
    word_indices = {split: _word_indices(class_of_word, split) for split in split_classes}
    names = {split: [words[index] for index in indices] for split, indices in word_indices.items()}
    label_sets = {split: predictor.encode_labels(names[split]) for split in split_classes}
    confusions = {split: Confusion(names[split]) for split in split_classes}
    for image, target in iterate_scenes(scenes, "attributes", process):
        embedded = predictor.segmenter.embed(image)
        plain_target = np.append(class_of_word, IGNORE)[target]  # (H, W) class indices
        plain.add(predictor.predict_encoded(embedded, plain_labels), torch.from_numpy(plain_target))
        for split in split_classes:
            if (plain_target == split).any():
                prediction = predictor.predict_encoded(embedded, label_sets[split])
                split_target = _target_lut(word_indices[split], class_of_word)[target]
                confusions[split].add(prediction, torch.from_numpy(split_target))
    counts_by_class = {split: sum_over_processes(confusion.counts) for split, confusion in confusions.items()}
    per_word = {
        word: iou
        for split, counts in counts_by_class.items()
        if counts.any()
        for word, iou in Scores.from_counts(counts, confusions[split].classes).per_class.items()
        if word not in CLASSES
    }
    unseen = {f"{color} {name}" for name, color in UNSEEN}
    plain_scores = plain.scores()
    figures = {
        "unseen combinations, mean IoU": mean([iou for word, iou in per_word.items() if word in unseen]),
        "seen combinations, mean IoU": mean([iou for word, iou in per_word.items() if word not in unseen]),
        "without colors, these classes": mean([plain_scores.per_class[words[split]] for split in split_classes]),
        "without colors, all classes": plain_scores.miou,
    }
    figures["unseen / without colors"] = ratio(
        figures["unseen combinations, mean IoU"], figures["without colors, all classes"]
    )
    return SuiteScores("attributes", len(scenes), figures, per_word, {"unseen / without colors": 0.8})


def _word_indices(class_of_word: NDArray[np.int64], split: int) -> list[int]:
    """Return the words of a label set in which only one class is split by color."""
    plain = [index for index in range(len(CLASSES)) if index != split]
    return plain + [index for index in np.flatnonzero(class_of_word == split).tolist() if index != split]


def _target_lut(word_indices: list[int], class_of_word: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return the label index of each word or of its class.

    Returns:
        (words + 1,); the last entry is for IGNORE.
    """
    label_index = {word: label for label, word in enumerate(word_indices)}
    labels = [label_index.get(word, label_index.get(int(plain), IGNORE)) for word, plain in enumerate(class_of_word)]
    return np.array([*labels, IGNORE], np.int16)
