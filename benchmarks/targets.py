"""Compare benchmark reports with the performance targets of this project.

``python -m benchmarks.targets REPORT.json...`` reads the files that ``lseg benchmark --json``,
``python -m benchmarks.lang_seg --json`` and ``python -m benchmarks.ros --json`` write. It prints one line per target
that applies to a report. The targets themselves are in ``targets.json``: each names a figure, a limit (``at_most`` or
``at_least``) and the facts of the report that must match (``when``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["applicable_targets", "collect_figures", "format_targets", "is_met", "load_targets", "main"]

_FILE = Path(__file__).with_name("targets.json")


def load_targets() -> list[dict[str, Any]]:
    """Read every target from ``targets.json``."""
    targets: list[dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return targets


def collect_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Extract the figures that targets refer to from a report.

    Figures that were not measured are missing.
    """
    figures: dict[str, float] = {row["name"]: row["timing"]["median_ms"] for row in report.get("rows", ())}
    if "GPU memory peak" in report.get("memory_mib", {}):
        figures["GPU memory"] = report["memory_mib"]["GPU memory peak"] * (1 << 20) / 1e9
    if scaling := report.get("label_scaling"):
        few, many = scaling[0]["timing"]["median_ms"], scaling[-1]["timing"]["median_ms"]
        figures["label scaling"] = 100 * (many / few - 1)
    if comparison := report.get("comparison"):
        figures |= {"speedup": comparison["speedup"], "agreement": 100 * comparison["agreement"]}
    if frames := report.get("frames"):
        figures["frame without network"] = frames["node"]["median_ms"]
        figures["speedup over naive baseline"] = frames["speedup"]
    if skipped := report.get("skipped"):
        figures["skipped"] = skipped["percent"]
    if latency := report.get("latency"):
        figures |= {"ready": latency["ready_s"], "rate": latency["rate_hz"]}
        figures["latency"] = latency["p95_ms"] / latency["pipeline_ms"]
    return figures


def applicable_targets(report: Mapping[str, Any]) -> list[tuple[dict[str, Any], float]]:
    """The targets that apply to a report, each with the measured value."""
    figures = collect_figures(report)
    facts = {**report.get("machine", {}), **report.get("settings", {})}
    return [
        (target, figures[target["figure"]])
        for target in load_targets()
        if target["figure"] in figures
        and all(_matches(name, facts.get(name, ""), wanted) for name, wanted in target.get("when", {}).items())
    ]


def is_met(target: Mapping[str, Any], value: float) -> bool:
    """Whether a value is within the limit of a target."""
    return value >= target["at_least"] if "at_least" in target else value <= target["at_most"]


def format_targets(report: Mapping[str, Any]) -> str:
    """Format one line per target that applies.

    For example, "peak GPU memory: 1.5 GB, at most 1.7 GB: met".
    """
    return "\n".join(_format(target, value) for target, value in applicable_targets(report))


def _matches(name: str, value: str, wanted: str) -> bool:
    return wanted in value if name == "device" else value == wanted  # a device name contains vendor and model


def _format(target: Mapping[str, Any], value: float) -> str:
    bound = "at_least" if "at_least" in target else "at_most"
    unit, verdict = target["unit"], "met" if is_met(target, value) else "not met"
    return f"{target['name']}: {value:.3g} {unit}, {bound.replace('_', ' ')} {target[bound]:g} {unit}: {verdict}"


def main() -> None:
    """Print the targets that apply to each report; a target that is not met is not an error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.targets", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT.json", help="JSON report of a benchmark")
    for path in parser.parse_args().reports:
        print(f"{path}:")
        print(format_targets(json.loads(path.read_text(encoding="utf-8"))) or "no target applies")


if __name__ == "__main__":
    main()
