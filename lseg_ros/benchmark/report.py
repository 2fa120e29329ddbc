"""What was measured, for people and for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lseg_ros.benchmark.scaling import Scaling, exponent
from lseg_ros.benchmark.timing import Timing

__all__ = ["Report", "Row", "columns", "format_facts", "format_timing", "table", "to_json"]


@dataclass(frozen=True)
class Row:
    """A stage. needed_ms: what this device needs for its flop and bytes at least, None where they are not counted."""

    name: str
    timing: Timing
    dtype: str
    flop: int
    bytes: int
    needed_ms: float | None

    @property
    def ratio(self) -> float | None:
        """How many times longer it takes than it must."""
        return self.timing.median_ms / self.needed_ms if self.needed_ms else None


@dataclass(frozen=True)
class Report:
    """machine, settings: facts by name. ceiling: peaks of this device, by what. start_ms: what happens once."""

    machine: Mapping[str, str]
    settings: Mapping[str, str]
    warnings: tuple[str, ...]
    start_ms: Mapping[str, float]
    rows: tuple[Row, ...]
    pipeline_ms: Mapping[str, float]
    ceiling: Mapping[str, float]
    memory_mib: Mapping[str, float]
    label_scaling: tuple[Scaling, ...]
    size_scaling: tuple[Scaling, ...]


def to_json(report: Report) -> str:
    """Everything of the table, under the names of the fields."""
    facts = dataclasses.asdict(report)
    for fields, row in zip(facts["rows"], report.rows):
        fields["ratio"] = row.ratio
    return json.dumps(facts, indent=2) + "\n"


def table(report: Report) -> str:
    """Everything, a paragraph for each kind of figure."""
    parts = [
        format_facts({**report.machine, **report.settings}),
        *report.warnings,
        _stages(report.rows),
        _sentence("peaks measured here", report.ceiling, _peak),
        _sentence("inside the pipeline, its last run", report.pipeline_ms, lambda name, ms: f"{name} {ms:.3g} ms"),
        _sentence("once, at start", report.start_ms, lambda name, ms: f"{name} {ms / 1e3:.2f} s"),
        _sentence("memory", report.memory_mib, lambda name, mib: f"{name} {mib:.0f} MiB"),
        _label_scaling(report.label_scaling),
        _size_scaling(report.size_scaling),
    ]
    return "\n\n".join(part for part in parts if part)


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of texts, the first left and the others right aligned."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    )


def format_facts(facts: Mapping[str, str]) -> str:
    """One line per fact."""
    return "\n".join(f"{name:<16}{value}" for name, value in facts.items())


def _stages(rows: Sequence[Row]) -> str:
    head = ("stage", "median ms", "p10", "p90", "runs", "GFLOP", "MB", "in", "needs ms", "ratio")
    return columns([head, *map(_cells, rows)])


def _cells(row: Row) -> tuple[str, ...]:
    if row.needed_ms is None or row.ratio is None:
        return row.name, *format_timing(row.timing), "", "", "", "", ""
    work = (_number(row.flop / 1e9), _number(row.bytes / 1e6), row.dtype)
    return row.name, *format_timing(row.timing), *work, _number(row.needed_ms), f"{row.ratio:.1f}"


def format_timing(timing: Timing) -> tuple[str, ...]:
    """The cells median ms, p10, p90 and runs of a table."""
    return *map(_number, (timing.median_ms, timing.p10_ms, timing.p90_ms)), str(timing.runs)


def _number(value: float) -> str:
    """Three digits, and none where there is nothing."""
    return "" if not value else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _sentence(title: str, values: Mapping[str, float], text: Callable[[str, float], str]) -> str:
    return f"{title}: " + ", ".join(text(name, value) for name, value in values.items()) if values else ""


def _peak(name: str, value: float) -> str:
    return f"{name} {value / 1e9:.3g} GB/s" if name == "memory" else f"{name} {value / 1e9:.4g} GFLOP/s"


def _label_scaling(scaling: Sequence[Scaling]) -> str:
    if not scaling:
        return ""
    first = scaling[0].timing.median_ms
    rows = [
        (each.what, _number(each.timing.median_ms), f"{each.timing.median_ms / first - 1:+.1%}") for each in scaling
    ]
    return columns([("labels", "median ms", f"over {scaling[0].what}"), *rows])


def _size_scaling(scaling: Sequence[Scaling]) -> str:
    if not scaling:
        return ""
    rows = [
        (each.what, _number(each.timing.median_ms), _number(each.timing.median_ms / each.count * 1e6))
        for each in scaling
    ]
    listed = columns([("network's input", "median ms", "ms per megapixel"), *rows])
    return f"{listed}\ntime grows with pixels to the power of {exponent(list(scaling)):.2f} (1 is linear)"
