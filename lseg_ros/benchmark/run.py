"""One run of the benchmark, from loading the network to the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.lang_seg.comparison import Comparison, compare
from benchmarks.targets import Check, Situation, checks
from lseg_ros.benchmark.config import BenchmarkConfig
from lseg_ros.benchmark.machine import busy, machine
from lseg_ros.benchmark.op_counter import Work, counting
from lseg_ros.benchmark.report import Report, Row
from lseg_ros.benchmark.roofline import Roofline
from lseg_ros.benchmark.scaling import Growth, with_labels, with_size, words
from lseg_ros.benchmark.stages import (
    NETWORK,
    PIPELINE,
    VOCABULARY,
    Network,
    Stage,
    network_stages,
    pipeline_stage,
    word_stages,
)
from lseg_ros.benchmark.timing import Timing, measure
from lseg_ros.inference import EncodedVocabulary, Segmenter
from lseg_ros.model import PRESETS, load_lseg
from lseg_ros.pipeline import Outputs, Pipeline, PipelineConfig
from lseg_ros.structures import Frame
from lseg_ros.synthetic import SyntheticWorld

__all__ = ["benchmark"]

logger = logging.getLogger(__name__)

_CLOUDS = 20
_NO_BOUND = (PIPELINE, VOCABULARY)  # more happens in these than layers do
Measured = tuple[Stage, Timing, Work]


def benchmark(config: BenchmarkConfig) -> Report:
    """Load, measure, compare; takes ``config.seconds`` for each of some fifteen lines, and more where one run does."""
    warnings = tuple(filter(None, [busy()]))
    start_ms: dict[str, float] = {}
    with _timed(start_ms, "load the network"):
        segmenter = Segmenter(config.network)
    with _timed(start_ms, f"encode {config.labels} labels"):
        encoded = segmenter.encode(words(config.labels))
    with _timed(start_ms, "first frame"):
        segmenter.warm_up(*config.frame_size)
    height, width = config.image_size
    image = SyntheticWorld(8, width, height).frame(1.0).frame.image

    pipeline_ms, in_pipeline = _pipeline(config, segmenter, encoded)
    memory_mib = segmenter.memory_mib()  # before anything is held that only a benchmark holds
    stages = [*network_stages(segmenter, encoded, image), *word_stages(segmenter)]
    measured = [_measured(segmenter, stage, config.seconds) for stage in stages] + [in_pipeline]

    x = Network(segmenter).input_of(image)[0]
    growth = _growth(config, segmenter, encoded, x)
    comparison = _comparison(config, segmenter, encoded, x) if config.compare == "official" else None
    ceiling = Roofline(segmenter.device)
    rows = _rows(measured, ceiling)
    return Report(
        machine(segmenter.device),
        _settings(config, segmenter, x),
        warnings,
        start_ms,
        rows,
        pipeline_ms,
        {"memory": ceiling.bytes_per_s, **ceiling.flop_per_s},
        memory_mib,
        comparison,
        *growth,
        _checks(config, segmenter, rows, memory_mib, comparison, growth[0]),
    )


def _pipeline(
    config: BenchmarkConfig, segmenter: Segmenter, encoded: EncodedVocabulary
) -> tuple[dict[str, float], Measured]:
    """How long the pipeline's own stages took in one run, and the whole of it measured."""
    frame = _frame(*config.frame_size)
    clouds = tuple(label.name for label in encoded.vocabulary.labels[:_CLOUDS])
    pipeline = Pipeline(segmenter, PipelineConfig(cloud_labels=clouds))
    measured = _measured(segmenter, pipeline_stage(pipeline, encoded, frame), config.seconds)
    return pipeline.process(frame, encoded, Outputs.POINTS | Outputs.LABEL_CLOUDS).stage_ms, measured


def _frame(height: int, width: int) -> Frame:
    return SyntheticWorld(8, width, height).frame(1.0).frame


@torch.inference_mode()
def _measured(segmenter: Segmenter, stage: Stage, budget_s: float) -> Measured:
    logger.info("measuring %s", stage.name)
    with counting(segmenter.model) as tally:
        stage.run()
    return stage, measure(stage.run, budget_s, segmenter.device), tally.work + stage.beside


def _growth(
    config: BenchmarkConfig, segmenter: Segmenter, encoded: EncodedVocabulary, x: torch.Tensor
) -> tuple[tuple[Growth, ...], tuple[Growth, ...]]:
    """With labels and with size, each empty where it was not asked for."""
    x = x.to(segmenter.dtype)
    labels = with_labels(segmenter, x, config.seconds) if config.sweep in ("labels", "all") else []
    sizes = with_size(segmenter, encoded, x, config.seconds) if config.sweep in ("size", "all") else []
    return tuple(labels), tuple(sizes)


def _comparison(
    config: BenchmarkConfig, segmenter: Segmenter, encoded: EncodedVocabulary, x: torch.Tensor
) -> Comparison:
    logger.info("measuring the official order")
    model = load_lseg(config.network.checkpoint)  # the same weights, as they were before a segmenter had them
    return compare(segmenter, model, encoded, x, config.seconds)


def _rows(measured: list[Measured], ceiling: Roofline) -> tuple[Row, ...]:
    """The network as a whole needs what its stages need: each of them waits for the one before."""
    rows, parts_ms = [], 0.0
    for stage, timing, work in measured:
        needed_ms: float | None = ceiling.needed_ms(work, stage.dtype)
        if stage.name == NETWORK:
            needed_ms = parts_ms
        elif stage.name in _NO_BOUND:
            needed_ms = None
        elif stage.name not in ("preprocess", "transfer to the host"):
            parts_ms += needed_ms or 0.0
        dtype = str(stage.dtype).removeprefix("torch.")
        rows.append(Row(stage.name, timing, dtype, work.flop, work.bytes, needed_ms))
    return tuple(rows)


def _settings(config: BenchmarkConfig, segmenter: Segmenter, x: torch.Tensor) -> dict[str, str]:
    return {
        "checkpoint": config.network.checkpoint,
        "precision": str(segmenter.dtype).removeprefix("torch."),
        "compile": str(config.network.compile).lower(),
        "image": f"{config.size}, {x.shape[3]}x{x.shape[2]} for the network",
        "frame": config.frame,
        "labels": str(config.labels),
    }


def _checks(
    config: BenchmarkConfig,
    segmenter: Segmenter,
    rows: tuple[Row, ...],
    memory_mib: dict[str, float],
    comparison: Comparison | None,
    label_growth: tuple[Growth, ...],
) -> tuple[Check, ...]:
    medians = {row.name: row.timing.median_ms for row in rows}
    figures = {"network": medians[NETWORK], "pipeline": medians[PIPELINE], "vocabulary": medians[VOCABULARY]}
    if "GPU memory peak" in memory_mib:
        figures["GPU memory"] = memory_mib["GPU memory peak"] * (1 << 20) / 1e9
    if comparison is not None:
        figures |= {"times official": comparison.times, "agreement": 100 * comparison.agreement}
    if label_growth:
        few, many = label_growth[0].timing.median_ms, label_growth[-1].timing.median_ms
        figures["label growth"] = 100 * (many / few - 1)
    return tuple(checks(_situation(config, segmenter), figures))


def _situation(config: BenchmarkConfig, segmenter: Segmenter) -> Situation:
    device = segmenter.device
    return Situation(
        network=next((name for name, each in PRESETS.items() if each == segmenter.model.config), ""),
        device=machine(device)["device"],
        is_gpu=device.type == "cuda",
        threads=torch.get_num_threads(),
        dtype=str(segmenter.dtype).removeprefix("torch."),
        size=config.size,
        frame=config.frame,
        labels=config.labels,
    )


@contextmanager
def _timed(took_ms: dict[str, float], name: str) -> Iterator[None]:
    start_s = time.perf_counter()
    yield
    took_ms[name] = (time.perf_counter() - start_s) * 1e3
