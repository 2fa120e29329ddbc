"""``lseg benchmark``: measure the stages of a frame on this device."""

from __future__ import annotations

import os
from pathlib import Path

from lseg_ros.openmp import openmp_passive_wait_env

os.environ.update(openmp_passive_wait_env())  # before torch starts its threads

from lseg_ros.benchmark import BenchmarkConfig, format_report, run_benchmark
from lseg_ros.benchmark.report import to_json

__all__ = ["SETTINGS", "run"]

SETTINGS = BenchmarkConfig


def run(settings: BenchmarkConfig) -> int:
    """Measure, print the report, and write it as JSON if requested."""
    report = run_benchmark(settings)
    print(format_report(report))
    if settings.json:
        path = Path(settings.json).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(report), encoding="utf-8")
    return 0
