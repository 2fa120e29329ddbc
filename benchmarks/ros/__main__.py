"""``python -m benchmarks.ros``: what ROS costs, with the targets beside it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.ros.frames import Frames, measure_frames
from benchmarks.ros.latency import Latency, measure_latency
from benchmarks.ros.skipped import Skipped, measure_skipped
from benchmarks.targets import format_targets
from lseg_ros.benchmark import Timing, busy_warning, describe_machine

__all__ = ["main"]

_PARTS = ("frames", "skipped", "latency")


def main() -> None:
    """Measure and print; a target that is not met is said, and is no error. 1 after a sentence where a part fails."""
    arguments = _arguments()
    facts = {"ros": os.environ.get("ROS_DISTRO", "unknown"), "middleware": _middleware(), **describe_machine()}
    print("\n".join(f"{name:<16}{value}" for name, value in facts.items()))
    if warning := busy_warning():
        print(f"\n{warning}")
    results: dict[str, Any] = {"machine": facts}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for part in _PARTS if arguments.part == "all" else (arguments.part,):
                result, lines = _measured(part, arguments, Path(folder))
                results[part] = dataclasses.asdict(result)
                print("\n" + "\n".join(lines), flush=True)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"\ntargets:\n{format_targets(results)}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _measured(part: str, arguments: argparse.Namespace, folder: Path) -> tuple[Frames | Skipped | Latency, list[str]]:
    if part == "frames":
        frames = measure_frames(arguments.seconds, folder)
        return frames, _of_frames(frames)
    if part == "skipped":
        skipped = measure_skipped(arguments.seconds, folder)
        return skipped, _of_skipped(skipped)
    latency = measure_latency(arguments.seconds, folder, arguments.checkpoint)
    return latency, _of_latency(latency)


def _of_frames(frames: Frames) -> list[str]:
    stages = ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in frames.stage_ms.items())
    return [
        "everything but the network (a ready label map stands in), 640x480 RGB-D frame, this process on one core:",
        "raw bytes -> decode -> match -> unproject -> mask, confidence, organized cloud, clouds of 20 labels -> DDS",
        f"  ours         {_timing(frames.node)}; within: {stages}",
        f"  obvious way  {_timing(frames.naive)}",
        f"  {frames.heard} of {frames.published} messages arrived in the subscriber's process",
    ]


def _of_skipped(skipped: Skipped) -> list[str]:
    rows = [
        f"  {name}  node {load.node:5.1f} % of a core at {load.node_hz:4.1f} Hz, "
        f"bare raw subscriber {load.bare:5.1f} % at {load.bare_hz:4.1f} Hz"
        for name, load in (("camera of 30 Hz", skipped.fast), ("camera of  2 Hz", skipped.slow))
    ]
    return ["images of 1920x1080 and max_rate_hz 2, a network of nearly no cost:", *rows]


def _of_latency(latency: Latency) -> list[str]:
    return [
        "the node with 20 labels, a camera of 640x480 with depth, subscribers to mask and organized cloud:",
        f"  ready after {latency.ready_s:.1f} s; {latency.rate_hz:.1f} masks a second of a camera of 30 Hz",
        f"  at {latency.half_hz:.1f} Hz: stamp to mask {latency.p50_ms:.0f} ms (p50), {latency.p95_ms:.0f} ms (p95); "
        f"the pipeline's own median {latency.pipeline_ms:.0f} ms",
        f"  {latency.dropped} of {latency.received} images dropped at that rate",
    ]


def _timing(timing: Timing) -> str:
    return f"{timing.median_ms:.1f} ms (p10 {timing.p10_ms:.1f}, p90 {timing.p90_ms:.1f}, {timing.runs} runs)"


def _middleware() -> str:
    from rclpy.utilities import get_rmw_implementation_identifier

    return str(get_rmw_implementation_identifier())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ros", description=__doc__)
    parser.add_argument("part", nargs="?", choices=("all", *_PARTS), default="all", help="what to measure")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure (default: %(default)s)")
    parser.add_argument("--checkpoint", default="demo", help="the network of latency and rate (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write everything to this file, for machines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
