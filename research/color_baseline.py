"""Score a predictor that sees nothing but the color of a single pixel.

``python -m research.color_baseline --seed 7 --frames 200`` reports how far color alone goes on the synthetic world.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from lseg_ros.datasets import IGNORE, Sample, SyntheticScenes
from lseg_ros.evaluation import Confusion, Scores
from lseg_ros.evaluation.distributed import Process, process_group
from lseg_ros.evaluation.evaluate import check_output_path
from lseg_ros.settings import check, setting
from research.command_line import run_script

__all__ = ["ColorBaseline", "ColorBaselineConfig", "main", "score_color_baseline"]

_BITS = 5  # per channel: 32 x 32 x 32 colors
_TRAINING_SCENES = 200


@dataclass(frozen=True)
class ColorBaselineConfig:
    """Score a predictor that sees only the color of each pixel, on the synthetic world."""

    frames: int = setting(200, "scenes to score", minimum=1)
    seed: int = setting(7, "seed of the scenes", minimum=0)
    width: int = setting(320, "image width", unit="px", minimum=32)
    height: int = setting(240, "image height", unit="px", minimum=32)
    json: str = setting("", "file to write the scores to")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class ColorBaseline:
    """The most frequent class of each color in the training images.

    The counts are divided by the square root of each class's total, a compromise between pixel accuracy (no division)
    and mean IoU (division by the total).

    Attributes:
        best: (32768,) int16, class of each quantized RGB color.
    """

    best: NDArray[np.int16]

    @classmethod
    def fit(cls, samples: Iterable[Sample], classes: int) -> ColorBaseline:
        """Count the classes of each color in labeled images."""
        counts = np.zeros((1 << 3 * _BITS, classes))
        for image, target in samples:
            known = target != IGNORE
            flat = _color_index(image)[known].astype(np.int64) * classes + target[known]
            counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        prior = counts.sum(0) ** 0.5
        return cls((counts / np.maximum(prior, 1)).argmax(1).astype(np.int16))

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Classify an (H, W, 3) uint8 RGB image; returns (H, W) int16 class indices."""
        return self.best[_color_index(image)]


def score_color_baseline(scenes: SyntheticScenes, process: Process | None = None) -> Scores:
    """Fit the baseline to 200 training scenes of the same seed and score it on ``scenes``.

    Args:
        scenes: Scenes of the evaluation split.
        process: This process, if several share the scenes; the scores are those of all processes.
    """
    process = process or Process()
    training = SyntheticScenes(
        _TRAINING_SCENES, scenes.seed, training=True, width=scenes.width // 2, height=scenes.height // 2
    )
    baseline = ColorBaseline.fit((training[index] for index in range(len(training))), len(scenes.classes))
    confusion = Confusion(scenes.classes)
    for index in tqdm(
        process.share(range(len(scenes))), desc="color baseline", unit="image", disable=not process.is_first
    ):
        image, target = scenes[index]
        confusion.add(torch.from_numpy(baseline.predict(image)), torch.from_numpy(target))
    return confusion.scores()


def main(config: ColorBaselineConfig) -> Scores:
    """Score the baseline, print the table and write ``config.json``.

    If torchrun started several processes, only the first one prints and writes.
    """
    check_output_path("json", config.json)
    with process_group() as process:
        scenes = SyntheticScenes(config.frames, config.seed, width=config.width, height=config.height)
        scores = score_color_baseline(scenes, process)
        if process.is_first:
            print(scores.table())
            if config.json:
                content = {**dataclasses.asdict(scores), "settings": dataclasses.asdict(config)}
                Path(config.json).expanduser().write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return scores


def _color_index(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = (image[..., channel].astype(np.int32) >> (8 - _BITS) for channel in range(3))
    return (red << 2 * _BITS) | (green << _BITS) | blue


if __name__ == "__main__":
    sys.exit(run_script("research.color_baseline", ColorBaselineConfig, main))
