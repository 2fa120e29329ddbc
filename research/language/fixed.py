"""The fixed label set: all words of the world at once, compared with a predictor that sees only color."""

from __future__ import annotations

from lseg_ros.evaluation import evaluate
from lseg_ros.evaluation.distributed import process_group
from lseg_ros.evaluation.scores import Scores
from research.color_baseline import score_color_baseline
from research.language.asking import scenes
from research.language.config import SuiteConfig
from research.language.scores import SuiteScores

__all__ = ["fixed"]


def fixed(config: SuiteConfig) -> SuiteScores:
    """Score all words at once, and the best predictor of single pixels by their color."""
    result = evaluate(config.evaluation)
    assert isinstance(result.scores, Scores)
    with process_group() as process:
        color = score_color_baseline(scenes(config), process)
    figures = {
        "mean IoU": result.scores.miou,
        "pixel accuracy": result.scores.pixel_accuracy,
        "color alone, mean IoU": color.miou,
    }
    return SuiteScores("fixed", result.samples, figures, result.scores.per_class, {"mean IoU": 0.85})
