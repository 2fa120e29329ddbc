"""The fixed label set: all classes at once, versus a predictor that sees only color."""

from __future__ import annotations

from lseg_ros.evaluation import evaluate
from lseg_ros.evaluation.distributed import Process
from lseg_ros.evaluation.scores import Scores
from research.color_baseline import score_color_baseline
from research.language.config import SuiteConfig
from research.language.scenes import evaluation_scenes
from research.language.scores import SuiteScores

__all__ = ["fixed"]


def fixed(config: SuiteConfig, process: Process) -> SuiteScores:
    """Score all classes as ``lseg evaluate`` does, and the color baseline on the same scenes."""
    result = evaluate(config.evaluation)
    assert isinstance(result.scores, Scores)
    color = score_color_baseline(evaluation_scenes(config), process)
    figures = {
        "mean IoU": result.scores.miou,
        "pixel accuracy": result.scores.pixel_accuracy,
        "color alone, mean IoU": color.miou,
    }
    return SuiteScores("fixed", result.samples, figures, result.scores.per_class, {"mean IoU": 0.85})
