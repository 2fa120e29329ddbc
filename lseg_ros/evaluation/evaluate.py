"""Scores of a network on a data set, through the very segmenter that the node uses."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lseg_ros.datasets import LabeledImages, SyntheticScenes
from lseg_ros.evaluation.color_baseline import ColorBaseline
from lseg_ros.evaluation.scores import Confusion, Scores
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import Vocabulary

__all__ = ["Evaluation", "EvaluationConfig", "evaluate"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationConfig:
    """What to score, and on what."""

    preset: str = setting("demo", "preset or checkpoint file to score")
    dataset: str = setting("synthetic", "data set", choices=("synthetic",))
    frames: int = setting(200, "scenes of the synthetic set", minimum=1)
    seed: int = setting(7, "seed of the synthetic set; no seed shows a scene that training showed", minimum=0)
    width: int = setting(320, "image width of the synthetic set", unit="px", minimum=32)
    height: int = setting(240, "image height of the synthetic set", unit="px", minimum=32)
    json: str = setting("", "file to write the scores to")
    color_baseline: bool = setting(True, "also score a classifier of single pixels by colour, on the same images")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model and, where asked for, of the colour baseline."""

    model: Scores
    color_baseline: Scores | None

    def table(self) -> str:
        baseline = f"\n{'colour alone, mIoU':<20} {self.color_baseline.miou:6.3f}" if self.color_baseline else ""
        return self.model.table() + baseline


def evaluate(config: EvaluationConfig) -> Evaluation:
    """Segment every image with all words of its set and count; writes ``config.json`` where one is named."""
    scenes = SyntheticScenes(config.frames, config.seed, width=config.width, height=config.height)
    baseline = _trained_baseline(config, scenes.classes) if config.color_baseline else None
    segmenter = Segmenter(SegmenterConfig(checkpoint=config.preset))
    result = _scored(segmenter, scenes, baseline)
    if config.json:
        _write(result, config)
    return result


def _scored(segmenter: Segmenter, images: LabeledImages, baseline: ColorBaseline | None) -> Evaluation:
    words = segmenter.encode(Vocabulary.of(images.classes))
    model, colors = Confusion(images.classes), Confusion(images.classes)
    for index in tqdm(range(len(images)), desc="evaluate", unit="image"):
        image, target = images[index]
        expected = torch.from_numpy(target)
        # ids of a fresh vocabulary count from 1 in the order of the words; 0 cannot occur without a threshold
        predicted = segmenter.segment(image, words).label_map.astype(np.int16) - 1
        model.add(torch.from_numpy(predicted), expected)
        if baseline is not None:
            colors.add(torch.from_numpy(baseline.predict(image)), expected)
    return Evaluation(model.scores(), None if baseline is None else colors.scores())


def _trained_baseline(config: EvaluationConfig, classes: tuple[str, ...]) -> ColorBaseline:
    scenes = SyntheticScenes(200, config.seed, training=True, width=config.width // 2, height=config.height // 2)
    return ColorBaseline.fit((scenes[index] for index in range(len(scenes))), len(classes))


def _write(result: Evaluation, config: EvaluationConfig) -> None:
    content = {**asdict(result.model), "settings": asdict(config)}
    if result.color_baseline is not None:
        content["color_baseline_miou"] = result.color_baseline.miou
    path = Path(config.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    _LOG.info("scores written to %s", path)
