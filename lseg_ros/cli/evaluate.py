"""``lseg evaluate``: score a network on labeled images."""

from __future__ import annotations

import os

from lseg_ros.evaluation import EvaluationConfig, evaluate

__all__ = ["SETTINGS", "run"]

SETTINGS = EvaluationConfig


def run(settings: EvaluationConfig) -> int:
    """Score the network and print the table, once if torchrun started several processes."""
    result = evaluate(settings)
    if os.environ.get("RANK", "0") == "0":
        print(result.table())
    return 0
