"""All words of the world at once, as ``lseg evaluate`` asks without a suite, beside color alone."""

from __future__ import annotations

import dataclasses

from lseg_ros.evaluation.config import EvaluationConfig
from lseg_ros.evaluation.evaluate import evaluate
from lseg_ros.evaluation.scores import Scores
from research.language.scores import SuiteScores

__all__ = ["fixed"]


def fixed(config: EvaluationConfig) -> SuiteScores:
    """mIoU over the fixed label set, and that of the best predictor of single pixels by their color."""
    result = evaluate(dataclasses.replace(config, suite="", json="", color_baseline=True))
    assert isinstance(result.model, Scores) and result.color_baseline is not None
    figures = {
        "mean IoU": result.model.miou,
        "pixel accuracy": result.model.pixel_accuracy,
        "color alone, mean IoU": result.color_baseline.miou,
    }
    return SuiteScores("fixed", result.samples, figures, result.model.per_class, {"mean IoU": 0.85})
