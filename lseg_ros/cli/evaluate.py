"""``lseg evaluate``: score a network."""

from __future__ import annotations

import os

from lseg_ros.evaluation import EvaluationConfig, evaluate
from research.language import run_suite

__all__ = ["SETTINGS", "run"]

SETTINGS = EvaluationConfig


def run(settings: EvaluationConfig) -> int:
    """Score and print the table, once where torchrun started several; the JSON file is for machines."""
    result = run_suite(settings) if settings.suite else evaluate(settings)
    if os.environ.get("RANK", "0") == "0":
        print(result.table())
    return 0
