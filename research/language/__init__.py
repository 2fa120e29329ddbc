"""Language suites: how well a network understands words, measured on the synthetic world."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from lseg_ros.evaluation.distributed import Process, process_group
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

_SUITES: dict[str, Callable[[SuiteConfig, Process], SuiteScores]] = {
    "fixed": fixed,
    "synonyms": synonyms,
    "attributes": attributes,
    "zero-shot": zero_shot,
    "general": general,
    "head-baseline": head_baseline,
}


def run_suite(config: SuiteConfig) -> SuiteScores:
    """Run the suite of the settings, and write its scores to ``config.json`` if it is set.

    If torchrun started several processes, each of them handles a share of the scenes and all of them return the same
    scores.

    Raises:
        FileNotFoundError: If a network does not exist.
        ValueError: If the output path is not writable, or a network cannot be loaded.
    """
    check_output_path("json", config.json)
    with process_group() as process:
        scores = _SUITES[config.suite](config, process)
        if config.json and process.is_first:
            content = {**dataclasses.asdict(scores), "settings": dataclasses.asdict(config)}
            Path(config.json).expanduser().write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return scores
