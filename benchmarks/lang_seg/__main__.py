"""``python -m benchmarks.lang_seg``: compare with the authors' order of operations."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lseg_ros.openmp import openmp_passive_wait_env

os.environ.update(openmp_passive_wait_env())  # before torch starts its threads

from benchmarks.lang_seg.comparison import Comparison, compare
from benchmarks.targets import format_targets
from lseg_ros.benchmark import busy_warning, describe_machine
from lseg_ros.benchmark.config import parse_size
from lseg_ros.benchmark.report import align_columns, format_facts, format_timing
from lseg_ros.benchmark.run import describe_network
from lseg_ros.benchmark.stages import Network, make_vocabulary
from lseg_ros.cli.flags import parse
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.model import load_lseg
from lseg_ros.settings import check, setting
from lseg_ros.synthetic import SyntheticWorld
from lseg_ros.vocabulary import MAX_ID

__all__ = ["ComparisonConfig", "main"]


@dataclass(frozen=True)
class ComparisonConfig:
    """Compare this implementation with the authors' order of operations.

    Both run in turn in one process, with the same image, words and weights. The flags are those of ``lseg benchmark``.
    """

    size: str = setting("480x480", "size of the input image, as WIDTHxHEIGHT")
    labels: int = setting(150, "number of labels", minimum=1, maximum=MAX_ID)
    seconds: float = setting(2.0, "time to spend on each of the two", unit="s", minimum=0.01)
    json: str = setting("", "also write the report to this JSON file")
    network: SegmenterConfig = dataclasses.field(default_factory=lambda: SegmenterConfig(checkpoint="demo_vit"))

    def __post_init__(self) -> None:
        """Check all settings; raises ValueError that names the setting."""
        check(self)
        parse_size("size", self.size)


def main() -> None:
    """Run the comparison, print it with the targets that apply, and write the JSON report."""
    try:
        config = parse(ComparisonConfig, sys.argv[1:], prog="python -m benchmarks.lang_seg")
        report = run(config)
    except (OSError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(2)
    if config.json:
        path = Path(config.json).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def run(config: ComparisonConfig) -> dict[str, object]:
    """Measure and print; returns the JSON report (machine, settings, comparison)."""
    warning = busy_warning()
    segmenter = Segmenter.from_checkpoint(config.network)
    encoded = segmenter.encode(make_vocabulary(config.labels))
    height, width = parse_size("size", config.size)
    image = SyntheticWorld(8, width, height).frame(1.0).frame.image
    x = Network(segmenter).preprocess(image)[0]
    facts = describe_machine(segmenter.device)
    settings = describe_network(config.network, segmenter) | {
        "size": config.size,
        "network input": f"{x.shape[3]}x{x.shape[2]}",
        "labels": str(config.labels),
    }
    print(format_facts({**facts, **settings}), *filter(None, [warning]), sep="\n\n", flush=True)
    reference = load_lseg(config.network.checkpoint)  # the segmenter may have changed its own copy of the weights
    comparison = compare(segmenter, reference, encoded, x, config.seconds)
    report: dict[str, object] = {"machine": facts, "settings": settings, "comparison": dataclasses.asdict(comparison)}
    print(f"\n{_table(comparison)}")
    if lines := format_targets(report):
        print(f"\ntargets:\n{lines}")
    return report


def _table(comparison: Comparison) -> str:
    sides = (
        ("lseg_ros, words encoded once", comparison.ours),
        ("authors' order, float32, words encoded per frame", comparison.official),
    )
    rows = [(name, *format_timing(timing)) for name, timing in sides]
    return (
        align_columns([("", "median ms", "p10", "p90", "runs"), *rows])
        + f"\nspeedup {comparison.speedup:.2f}; logits differ by at most {comparison.max_delta:.2g}; "
        f"{comparison.agreement:.3%} of the pixels have the same label"
    )


if __name__ == "__main__":
    main()
