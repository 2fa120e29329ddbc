"""The report of a benchmark, as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lseg_ros.benchmark.scaling import ScalingPoint, fit_exponent
from lseg_ros.benchmark.timing import Timing

__all__ = ["Report", "Row", "align_columns", "format_facts", "format_report", "format_timing", "to_json"]


@dataclass(frozen=True)
class Row:
    """One stage.

    Attributes:
        name: Name of the stage.
        timing: Measured time.
        dtype: Precision of its arithmetic.
        flop: Additions and multiplications of its layers.
        bytes: Bytes that its layers read and write.
        lower_bound_ms: Lower bound of the time from the roofline; None if its work is not counted.
    """

    name: str
    timing: Timing
    dtype: str
    flop: int
    bytes: int
    lower_bound_ms: float | None

    @property
    def ratio(self) -> float | None:
        """Median time divided by the lower bound."""
        return self.timing.median_ms / self.lower_bound_ms if self.lower_bound_ms else None


@dataclass(frozen=True)
class Report:
    """The result of ``lseg benchmark``.

    Attributes:
        machine: Facts about the machine by name.
        settings: Facts about the network and its input by name.
        warnings: Reasons why the measurements may be unreliable.
        start_ms: Time of each step that runs once at the start.
        rows: One row per stage.
        pipeline_ms: Time of each stage inside the pipeline, from one run.
        roofline: Peak bytes/s as "memory", and peak FLOP/s by dtype name.
        memory_mib: Memory use by kind.
        label_scaling: Time for several numbers of labels; empty if not measured.
        size_scaling: Time for several image sizes; empty if not measured.
    """

    machine: Mapping[str, str]
    settings: Mapping[str, str]
    warnings: tuple[str, ...]
    start_ms: Mapping[str, float]
    rows: tuple[Row, ...]
    pipeline_ms: Mapping[str, float]
    roofline: Mapping[str, float]
    memory_mib: Mapping[str, float]
    label_scaling: tuple[ScalingPoint, ...]
    size_scaling: tuple[ScalingPoint, ...]


def to_json(report: Report) -> str:
    """The report as JSON, with the field names of ``Report`` and the ratio of each row."""
    fields = dataclasses.asdict(report)
    for row_fields, row in zip(fields["rows"], report.rows):
        row_fields["ratio"] = row.ratio
    return json.dumps(fields, indent=2) + "\n"


def format_report(report: Report) -> str:
    """The report as text, one paragraph per kind of measurement."""
    paragraphs = [
        format_facts({**report.machine, **report.settings}),
        *report.warnings,
        _format_stages(report.rows),
        _format_values("peak rates of this device", report.roofline, _format_peak),
        _format_values(
            "stages inside the pipeline (last run)", report.pipeline_ms, lambda name, ms: f"{name} {ms:.3g} ms"
        ),
        _format_values("once at the start", report.start_ms, lambda name, ms: f"{name} {ms / 1e3:.2f} s"),
        _format_values("memory", report.memory_mib, lambda name, mib: f"{name} {mib:.0f} MiB"),
        _format_label_scaling(report.label_scaling),
        _format_size_scaling(report.size_scaling),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def align_columns(rows: Iterable[Sequence[str]]) -> str:
    """Align the cells of a table: the first column left, the others right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    )


def format_facts(facts: Mapping[str, str]) -> str:
    """One line per fact."""
    return "\n".join(f"{name:<16}{value}" for name, value in facts.items())


def format_timing(timing: Timing) -> tuple[str, ...]:
    """The table cells "median ms", "p10", "p90" and "runs"."""
    return *map(_format_number, (timing.median_ms, timing.p10_ms, timing.p90_ms)), str(timing.runs)


def _format_stages(rows: Sequence[Row]) -> str:
    head = ("stage", "median ms", "p10", "p90", "runs", "GFLOP", "MB", "dtype", "bound ms", "ratio")
    return align_columns([head, *map(_format_row, rows)])


def _format_row(row: Row) -> tuple[str, ...]:
    if row.lower_bound_ms is None or row.ratio is None:
        return row.name, *format_timing(row.timing), "", "", "", "", ""
    work = (_format_number(row.flop / 1e9), _format_number(row.bytes / 1e6), row.dtype)
    return row.name, *format_timing(row.timing), *work, _format_number(row.lower_bound_ms), f"{row.ratio:.1f}"


def _format_number(value: float) -> str:
    """Three digits; empty for 0."""
    return "" if not value else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _format_values(title: str, values: Mapping[str, float], to_text: Callable[[str, float], str]) -> str:
    return f"{title}: " + ", ".join(to_text(name, value) for name, value in values.items()) if values else ""


def _format_peak(name: str, value: float) -> str:
    return f"{name} {value / 1e9:.3g} GB/s" if name == "memory" else f"{name} {value / 1e9:.4g} GFLOP/s"


def _format_label_scaling(points: Sequence[ScalingPoint]) -> str:
    if not points:
        return ""
    first_ms = points[0].timing.median_ms
    rows = [
        (point.name, _format_number(point.timing.median_ms), f"{point.timing.median_ms / first_ms - 1:+.1%}")
        for point in points
    ]
    return align_columns([("labels", "median ms", f"versus {points[0].name}"), *rows])


def _format_size_scaling(points: Sequence[ScalingPoint]) -> str:
    if not points:
        return ""
    rows = [
        (
            point.name,
            _format_number(point.timing.median_ms),
            _format_number(point.timing.median_ms / point.count * 1e6),
        )
        for point in points
    ]
    table = align_columns([("network input", "median ms", "ms per megapixel"), *rows])
    return f"{table}\ntime is proportional to pixels to the power of {fit_exponent(points):.2f}"
