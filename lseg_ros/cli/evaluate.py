"""``lseg evaluate``: score a network."""

from __future__ import annotations

from lseg_ros.evaluation import EvaluationConfig, evaluate

__all__ = ["SETTINGS", "run"]

SETTINGS = EvaluationConfig


def run(settings: EvaluationConfig) -> int:
    """Score and print the table; the JSON file, where one is named, is for machines."""
    print(evaluate(settings).table())
    return 0
