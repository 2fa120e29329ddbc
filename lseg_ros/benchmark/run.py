"""Run the benchmark, from loading the network to the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from lseg_ros.benchmark.config import BenchmarkConfig
from lseg_ros.benchmark.machine import busy_warning, describe_machine
from lseg_ros.benchmark.report import Report, Row
from lseg_ros.benchmark.roofline import Roofline, Work, count_ops
from lseg_ros.benchmark.scaling import ScalingPoint, measure_label_scaling, measure_size_scaling
from lseg_ros.benchmark.stages import (
    NETWORK,
    PIPELINE,
    VOCABULARY,
    Network,
    Stage,
    build_network_stages,
    build_pipeline_stage,
    build_text_stages,
    make_vocabulary,
)
from lseg_ros.benchmark.timing import Timing, measure
from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig
from lseg_ros.model import PRESETS
from lseg_ros.pipeline import Outputs, Pipeline, PipelineConfig
from lseg_ros.synthetic import SyntheticWorld

__all__ = ["describe_network", "run_benchmark"]

logger = logging.getLogger(__name__)

_LABEL_CLOUDS = 20
_WITHOUT_BOUND = (PIPELINE, VOCABULARY)  # stages that do more than the work of layers
_OUTSIDE_NETWORK = ("preprocess", "transfer to the host")
MeasuredStage = tuple[Stage, Timing, Work]


def run_benchmark(config: BenchmarkConfig) -> Report:
    """Load the network and measure all stages.

    Takes ``config.seconds`` or more for each of about fifteen lines.
    """
    warnings = tuple(filter(None, [busy_warning()]))
    start_ms: dict[str, float] = {}
    with _record_ms(start_ms, "load the network"):
        segmenter = Segmenter.from_checkpoint(config.network)
    with _record_ms(start_ms, f"encode {config.labels} labels"):
        encoded = segmenter.encode(make_vocabulary(config.labels))
    with _record_ms(start_ms, "first frame"):
        segmenter.warm_up(*config.frame_size)
    height, width = config.image_size
    image = SyntheticWorld(8, width, height).frame(1.0).frame.image

    pipeline_ms, pipeline_stage = _measure_pipeline(config, segmenter, encoded)
    memory_mib = segmenter.memory_mib()  # before the benchmark itself allocates memory
    stages = [*build_network_stages(segmenter, encoded, image), *build_text_stages(segmenter)]
    measured = [_measure_stage(segmenter, stage, config.seconds) for stage in stages] + [pipeline_stage]

    x = Network(segmenter).preprocess(image)[0]
    label_scaling, size_scaling = _measure_scaling(config, segmenter, encoded, x)
    roofline = Roofline(segmenter.device)
    rows = _build_rows(measured, roofline)
    return Report(
        machine=describe_machine(segmenter.device),
        settings=describe_network(config.network, segmenter)
        | {
            "size": config.size,
            "network input": f"{x.shape[3]}x{x.shape[2]}",
            "frame": config.frame,
            "labels": str(config.labels),
        },
        warnings=warnings,
        start_ms=start_ms,
        rows=rows,
        pipeline_ms=pipeline_ms,
        roofline={"memory": roofline.bytes_per_s, **roofline.flop_per_s},
        memory_mib=memory_mib,
        label_scaling=label_scaling,
        size_scaling=size_scaling,
    )


def describe_network(config: SegmenterConfig, segmenter: Segmenter) -> dict[str, str]:
    """Facts about a network by name, for a report."""
    presets = [name for name, preset in PRESETS.items() if preset == segmenter.model.config]
    return {
        "checkpoint": config.checkpoint,
        "architecture": presets[0] if presets else "custom",
        "device type": segmenter.device.type,
        "precision": str(segmenter.dtype).removeprefix("torch."),
        "engine": segmenter.engine,
        "compile": str(config.compile).lower(),
    }


def _measure_pipeline(
    config: BenchmarkConfig, segmenter: Segmenter, encoded: EncodedVocabulary
) -> tuple[dict[str, float], MeasuredStage]:
    """Measure the whole pipeline; returns the times of its inner stages in one run as well."""
    height, width = config.frame_size
    frame = SyntheticWorld(8, width, height).frame(1.0).frame
    cloud_labels = tuple(label.name for label in encoded.vocabulary.labels[:_LABEL_CLOUDS])
    pipeline = Pipeline(segmenter, PipelineConfig(cloud_labels=cloud_labels))
    measured = _measure_stage(segmenter, build_pipeline_stage(pipeline, encoded, frame), config.seconds)
    return pipeline.process(frame, encoded, Outputs.POINTS | Outputs.LABEL_CLOUDS).stage_ms, measured


@torch.inference_mode()
def _measure_stage(segmenter: Segmenter, stage: Stage, budget_s: float) -> MeasuredStage:
    logger.info("measuring %s", stage.name)
    with count_ops(segmenter.model) as counter:
        stage.run()
    return stage, measure(stage.run, budget_s, segmenter.device), counter.work + stage.extra_work


def _measure_scaling(
    config: BenchmarkConfig, segmenter: Segmenter, encoded: EncodedVocabulary, x: torch.Tensor
) -> tuple[tuple[ScalingPoint, ...], tuple[ScalingPoint, ...]]:
    """Scaling with labels and with size; each is empty unless ``config.sweep`` asks for it."""
    x = x.to(segmenter.dtype)
    labels = measure_label_scaling(segmenter, x, config.seconds) if config.sweep in ("labels", "all") else []
    sizes = measure_size_scaling(segmenter, encoded, x, config.seconds) if config.sweep in ("size", "all") else []
    return tuple(labels), tuple(sizes)


def _build_rows(measured: Sequence[MeasuredStage], roofline: Roofline) -> tuple[Row, ...]:
    """Build one row per stage.

    The bound of the whole network is the sum of the bounds of its stages, because they run one after the other.
    """
    rows, network_bound_ms = [], 0.0
    for stage, timing, work in measured:
        bound_ms: float | None = roofline.lower_bound_ms(work, stage.dtype)
        if stage.name == NETWORK:
            bound_ms = network_bound_ms
        elif stage.name in _WITHOUT_BOUND:
            bound_ms = None
        elif stage.name not in _OUTSIDE_NETWORK:
            network_bound_ms += bound_ms or 0.0
        dtype = str(stage.dtype).removeprefix("torch.")
        rows.append(Row(stage.name, timing, dtype, work.flop, work.bytes, bound_ms))
    return tuple(rows)


@contextmanager
def _record_ms(start_ms: dict[str, float], name: str) -> Iterator[None]:
    start_s = time.perf_counter()
    yield
    start_ms[name] = (time.perf_counter() - start_s) * 1e3
