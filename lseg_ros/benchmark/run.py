"""One run of the benchmark, from loading the network to the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lseg_ros.benchmark.config import BenchmarkConfig
from lseg_ros.benchmark.machine import busy, machine
from lseg_ros.benchmark.op_counter import Work, counting
from lseg_ros.benchmark.report import Report, Row
from lseg_ros.benchmark.roofline import Roofline
from lseg_ros.benchmark.scaling import Scaling, with_labels, with_size, words
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
from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig
from lseg_ros.model import PRESETS
from lseg_ros.pipeline import Outputs, Pipeline, PipelineConfig
from lseg_ros.structures import Frame
from lseg_ros.synthetic import SyntheticWorld

__all__ = ["benchmark", "describe_settings"]

logger = logging.getLogger(__name__)

_CLOUDS = 20
_NO_BOUND = (PIPELINE, VOCABULARY)  # more happens in these than layers do
Measured = tuple[Stage, Timing, Work]


def benchmark(config: BenchmarkConfig) -> Report:
    """Load and measure; takes ``config.seconds`` for each of some fifteen lines, and more where one run does."""
    warnings = tuple(filter(None, [busy()]))
    start_ms: dict[str, float] = {}
    with _timed(start_ms, "load the network"):
        segmenter = Segmenter.from_checkpoint(config.network)
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
    scaling = _scaling(config, segmenter, encoded, x)
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
        *scaling,
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


def _scaling(
    config: BenchmarkConfig, segmenter: Segmenter, encoded: EncodedVocabulary, x: torch.Tensor
) -> tuple[tuple[Scaling, ...], tuple[Scaling, ...]]:
    """With labels and with size, each empty where it was not asked for."""
    x = x.to(segmenter.dtype)
    labels = with_labels(segmenter, x, config.seconds) if config.sweep in ("labels", "all") else []
    sizes = with_size(segmenter, encoded, x, config.seconds) if config.sweep in ("size", "all") else []
    return tuple(labels), tuple(sizes)


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


def describe_settings(config: SegmenterConfig, segmenter: Segmenter) -> dict[str, str]:
    """The facts of a network that a report states, by name."""
    presets = [name for name, preset in PRESETS.items() if preset == segmenter.model.config]
    return {
        "checkpoint": config.checkpoint,
        "architecture": presets[0] if presets else "custom",
        "device type": segmenter.device.type,
        "precision": str(segmenter.dtype).removeprefix("torch."),
        "compile": str(config.compile).lower(),
    }


def _settings(config: BenchmarkConfig, segmenter: Segmenter, x: torch.Tensor) -> dict[str, str]:
    return describe_settings(config.network, segmenter) | {
        "size": config.size,
        "network input": f"{x.shape[3]}x{x.shape[2]}",
        "frame": config.frame,
        "labels": str(config.labels),
    }


@contextmanager
def _timed(took_ms: dict[str, float], name: str) -> Iterator[None]:
    start_s = time.perf_counter()
    yield
    took_ms[name] = (time.perf_counter() - start_s) * 1e3
