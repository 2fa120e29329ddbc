"""What the embedded default understands: the questions of ``lseg evaluate --suite``, asked of the synthetic world."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from lseg_ros.evaluation.config import EvaluationConfig
from lseg_ros.evaluation.evaluate import check_destination, settings_by_flag
from lseg_ros.evaluation.processes import processes
from lseg_ros.evaluation.suites.attributes import attributes
from lseg_ros.evaluation.suites.fixed import fixed
from lseg_ros.evaluation.suites.general import general
from lseg_ros.evaluation.suites.head_baseline import head_baseline
from lseg_ros.evaluation.suites.scores import SuiteScores
from lseg_ros.evaluation.suites.synonyms import synonyms
from lseg_ros.evaluation.suites.zero_shot import zero_shot

__all__ = ["SuiteScores", "run_suite"]

_SUITES: dict[str, Callable[[EvaluationConfig], SuiteScores]] = {
    "fixed": fixed,
    "synonyms": synonyms,
    "attributes": attributes,
    "zero-shot": zero_shot,
    "general": general,
    "head-baseline": head_baseline,
}


def run_suite(config: EvaluationConfig) -> SuiteScores:
    """Ask the suite that ``config`` names of its scenes, and write ``config.json`` where it is named.

    Started by torchrun, each process takes its share of the scenes and all return the same scores. Raises what
    ``load_lseg`` and ``Segmenter`` raise, and ValueError for a place that cannot be written to.
    """
    check_destination("json", config.json)
    with processes() as process:
        scores = _SUITES[config.suite](config)
        if config.json and process.first:
            content = {**dataclasses.asdict(scores), "settings": settings_by_flag(config)}
            Path(config.json).expanduser().write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return scores
