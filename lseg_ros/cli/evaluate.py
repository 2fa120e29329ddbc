"""``lseg evaluate``: score a network."""

from __future__ import annotations

import os

from lseg_ros.evaluation import EvaluationConfig, evaluate

__all__ = ["SETTINGS", "run"]

SETTINGS = EvaluationConfig


def run(settings: EvaluationConfig) -> int:
    """Score and print the table, once where torchrun started several; the JSON file is for machines."""
    result = evaluate(settings)
    if os.environ.get("RANK", "0") == "0":
        print(result.table())
    return 0
