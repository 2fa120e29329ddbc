"""``python -m benchmarks.ros``: measure what ROS costs and compare it with the targets."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ros.engines import Engines, measure_engines
from benchmarks.ros.frames import Frames, measure_frames
from benchmarks.ros.latency import Latency, measure_latency
from benchmarks.ros.skipped import Skipped, measure_skipped
from benchmarks.targets import format_targets
from lseg_ros.benchmark import Timing, busy_warning, describe_machine
from lseg_ros.benchmark.report import format_facts

__all__ = ["main"]

_PARTS = ("frames", "skipped", "latency", "engines")


def main() -> None:
    """Measure, print and write the JSON report; exits with 1 and a message if a part fails."""
    arguments = _parse_arguments()
    facts = {"ros": os.environ.get("ROS_DISTRO", "unknown"), "middleware": _middleware(), **describe_machine()}
    print(format_facts(facts))
    if warning := busy_warning():
        print(f"\n{warning}")
    report: dict[str, Any] = {"machine": facts}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for part in _PARTS if arguments.part == "all" else (arguments.part,):
                result, text = _measure(part, arguments, Path(folder))
                report[part] = dataclasses.asdict(result)
                print(f"\n{text}", flush=True)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"\ntargets:\n{format_targets(report)}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _measure(
    part: str, arguments: argparse.Namespace, folder: Path
) -> tuple[Frames | Skipped | Latency | Engines, str]:
    """Measure one part; returns its result and its text."""
    if part == "frames":
        frames = measure_frames(arguments.seconds, folder)
        return frames, _format_frames(frames)
    if part == "skipped":
        skipped = measure_skipped(arguments.seconds, folder)
        return skipped, _format_skipped(skipped)
    if part == "engines":
        engines = measure_engines(arguments.seconds, folder, arguments.checkpoint)
        return engines, _format_engines(engines)
    latency = measure_latency(arguments.seconds, folder, arguments.checkpoint, arguments.engine)
    return latency, _format_latency(latency)


def _format_frames(frames: Frames) -> str:
    stages = ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in frames.stage_ms.items())
    return "\n".join(
        [
            "640x480 RGB-D frame without the network (the label map is given), one core:",
            "raw bytes -> decode -> match -> unproject -> mask, confidence, organized cloud, 20 label clouds -> DDS",
            f"  node            {_format_timing(frames.node)}; stages: {stages}",
            f"  naive baseline  {_format_timing(frames.naive)}",
            f"  {frames.received} of {frames.published} messages reached the subscriber process",
        ]
    )


def _format_skipped(skipped: Skipped) -> str:
    rows = [
        f"  {name}  node {load.node:5.1f} % of a core at {load.node_hz:4.1f} Hz, "
        f"raw subscriber {load.bare:5.1f} % at {load.bare_hz:4.1f} Hz"
        for name, load in (("camera at 30 Hz", skipped.fast), ("camera at  2 Hz", skipped.slow))
    ]
    return "\n".join(["CPU use with 1920x1080 images, max_rate_hz 2 and a tiny network input:", *rows])


def _format_latency(latency: Latency) -> str:
    return "\n".join(
        [
            "node with 20 labels, a 640x480 camera with depth, and subscribers to mask and organized cloud:",
            f"  ready after {latency.ready_s:.1f} s; {latency.rate_hz:.1f} Hz with a camera at 30 Hz",
            f"  camera at {latency.half_hz:.1f} Hz: stamp to mask {latency.p50_ms:.0f} ms (p50), "
            f"{latency.p95_ms:.0f} ms (p95); median of the pipeline {latency.pipeline_ms:.0f} ms; "
            f"{latency.dropped} of {latency.received} images dropped",
        ]
    )


def _format_engines(engines: Engines) -> str:
    rows = [
        f"  {engine:<12} {np.median(rates):.1f} masks/s ({', '.join(f'{rate:.1f}' for rate in rates)}), "
        f"{np.median(engines.cpu_ms[engine]):.0f} ms of CPU time per mask"
        for engine, rates in engines.rates_hz.items()
    ]
    return "\n".join(["the same node and camera with each engine in turn, median of the rounds:", *rows])


def _format_timing(timing: Timing) -> str:
    return f"{timing.median_ms:.1f} ms (p10 {timing.p10_ms:.1f}, p90 {timing.p90_ms:.1f}, {timing.runs} runs)"


def _middleware() -> str:
    from rclpy.utilities import get_rmw_implementation_identifier

    return str(get_rmw_implementation_identifier())


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ros", description="Measure what ROS costs and compare it with the targets."
    )
    parser.add_argument("part", nargs="?", choices=("all", *_PARTS), default="all", help="what to measure")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="time to spend on each measurement (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", default="demo", help="network for latency and engines (default: %(default)s)")
    parser.add_argument("--engine", default="auto", help="engine for the part latency (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the report to this JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
