"""Language suites: how well a network understands words, measured on the synthetic world."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from lseg_ros.evaluation.distributed import process_group
from lseg_ros.evaluation.evaluate import check_output_path
from research.language.attributes import attributes
from research.language.config import SUITES, SuiteConfig
from research.language.fixed import fixed
from research.language.general import general
from research.language.head_baseline import head_baseline
from research.language.scores import SuiteScores
from research.language.synonyms import synonyms
from research.language.zero_shot import zero_shot

__all__ = ["SUITES", "SuiteConfig", "SuiteScores", "run_suite"]

_SUITES: dict[str, Callable[[SuiteConfig], SuiteScores]] = {
    "fixed": fixed,
    "synonyms": synonyms,
    "attributes": attributes,
    "zero-shot": zero_shot,
    "general": general,
    "head-baseline": head_baseline,
}


def run_suite(config: SuiteConfig) -> SuiteScores:
    """Ask the suite that ``config`` names of its scenes, and write ``config.json`` where it is named.

    Started by torchrun, each process takes its share of the scenes and all return the same scores. Raises what
    ``load_lseg`` and ``Segmenter`` raise, and ValueError for a place that cannot be written to.
    """
    check_output_path("json", config.json)
    with process_group() as process:
        scores = _SUITES[config.suite](config)
        if config.json and process.is_first:
            content = {**dataclasses.asdict(scores), "settings": dataclasses.asdict(config)}
            Path(config.json).expanduser().write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return scores
