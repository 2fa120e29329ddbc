"""``python -m benchmarks.gpu``: check and measure everything that needs a GPU.

One run takes less than four minutes. Without a GPU the same command runs on the CPU with ``demo``, so that it can be
tried before a GPU is available.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lseg_ros.openmp import openmp_passive_wait_env

os.environ.update(openmp_passive_wait_env())  # before torch starts its threads

import torch

from benchmarks.gpu.checks import Checklist, check_code, check_labels
from benchmarks.gpu.figures import compare_with_official_order, measure_network
from benchmarks.targets import format_targets
from lseg_ros.benchmark import Timing, busy_warning, describe_machine
from lseg_ros.benchmark.config import parse_size
from lseg_ros.benchmark.report import align_columns, format_facts, format_timing
from lseg_ros.cli.flags import parse
from lseg_ros.inference import SegmenterConfig
from lseg_ros.inference.device import select_device
from lseg_ros.settings import check, setting

__all__ = ["GpuConfig", "main", "run"]

_PRECISIONS = {"cuda": ("bfloat16", "float16"), "cpu": ("float32",)}
_NETWORKS = {"cuda": "vitl16", "cpu": "demo"}
_DEADLINE_S = 150.0


@dataclass(frozen=True)
class GpuConfig:
    """Check placement and results on the device, measure the network, and write a report.

    A run on a GPU takes less than four minutes and needs no network. The exit status is 1 if a check fails.
    """

    device: str = setting("auto", "auto (a GPU if there is one), cpu, cuda or cuda:N")
    checkpoint: str = setting("", "network to measure; empty for vitl16 on a GPU and demo on a CPU")
    size: str = setting("480x480", "size of the image for the network, as WIDTHxHEIGHT")
    frame: str = setting("640x480", "size of the RGB-D frame for the pipeline, as WIDTHxHEIGHT")
    seconds: float = setting(1.0, "time to spend on each figure", unit="s", minimum=0.01)
    json: str = setting("out/gpu.json", "file to write the report to")

    def __post_init__(self) -> None:
        """Check all settings; raises ValueError that names the setting."""
        check(self)
        for name in ("size", "frame"):
            parse_size(name, getattr(self, name))


def main() -> None:
    """Run everything, print it and write the report; exit with 1 if a check fails."""
    try:
        config = parse(GpuConfig, sys.argv[1:], prog="python -m benchmarks.gpu")
        report = run(config)
    except (OSError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(any(check["result"] == "failed" for check in report["checks"]))


def run(config: GpuConfig) -> dict[str, Any]:
    """Check, measure and print; write and return the report."""
    device, start_s = select_device(config.device), time.perf_counter()
    checkpoint = config.checkpoint or _NETWORKS.get(device.type, "demo")
    facts = {**describe_machine(device), **_describe_cuda(device)}
    print(format_facts(facts), *filter(None, [busy_warning()]), sep="\n\n")
    parts, reports = Checklist(_DEADLINE_S), []
    print("\nchecks:", flush=True)
    precisions = _PRECISIONS.get(device.type, ("float32",))
    check_code(parts, device)
    check_labels(parts, device, precisions)
    for precision in precisions:
        settings = SegmenterConfig(checkpoint, config.device, precision, engine="torch")
        measured = None
        with parts.part(f"measure {checkpoint} in {precision}") as runs:
            if runs:
                sizes = parse_size("size", config.size), parse_size("frame", config.frame)
                measured = measure_network(settings, *sizes, config.seconds)
                reports.append(measured.report)
                if measured.segmenter.problems:
                    raise ValueError("; ".join(measured.segmenter.problems))
        missing = "" if measured else "it was not measured"
        with parts.part(f"compare {checkpoint} in {precision} with lang-seg's order", missing) as runs:
            if runs and measured:
                compare_with_official_order(measured, settings, config.seconds)
    report = {**(reports[0] if reports else {}), "machine": facts, "checks": [*map(dataclasses.asdict, parts.checks)]}
    report |= {"further_precisions": reports[1:], "seconds": time.perf_counter() - start_s}
    _print_report(reports, report)
    path = Path(config.json).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n{report['seconds']:.0f} s; report: {path}")
    return report


def _describe_cuda(device: torch.device) -> dict[str, str]:
    if device.type != "cuda":
        return {}
    properties = torch.cuda.get_device_properties(device)
    return {
        "capability": f"sm_{properties.major}{properties.minor}, {properties.multi_processor_count} multiprocessors",
        "cuda": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
    }


def _print_report(reports: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> None:
    for measured in reports:
        settings = measured["settings"]
        print(f"\n{settings['checkpoint']} in {settings['precision']}, input {settings['network input']}:")
        print(
            align_columns(
                [("", "predicted", "measured", "unit", "p10", "p90", "runs"), *map(_cells, measured["figures"])]
            )
        )
        if lines := format_targets({**measured, "machine": report["machine"]}):
            print(f"goals:\n{lines}")
    print("\nPredictions are bounds: layers at the peak rates that this run measured, and the memory of the weights.")
    failed = [check["name"] for check in report["checks"] if check["result"] == "failed"]
    print(f"\n{'failed: ' + '; '.join(failed) if failed else 'no check failed'}")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    predicted = "" if row["predicted"] is None else f"{row['predicted']:.3g}"
    spread = format_timing(Timing(**row["timing"]))[1:] if row["timing"] else ("", "", "")
    return row["name"], predicted, f"{row['measured']:.3g}", row["unit"], *spread


if __name__ == "__main__":
    main()
