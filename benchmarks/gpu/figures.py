"""Figures of a network on the device, next to their predictions."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.gpu.checks import LABELS
from benchmarks.lang_seg.comparison import compare
from benchmarks.lang_seg.official_order import OfficialOrder
from lseg_ros.benchmark import Timing, measure, measure_interleaved
from lseg_ros.benchmark.roofline import Roofline, count_ops
from lseg_ros.benchmark.run import describe_network
from lseg_ros.benchmark.stages import (
    NETWORK,
    PIPELINE,
    Network,
    build_network_stages,
    build_pipeline_stage,
    make_vocabulary,
)
from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig
from lseg_ros.model import load_lseg
from lseg_ros.pipeline import Pipeline, PipelineConfig
from lseg_ros.synthetic import SyntheticWorld

__all__ = ["Measurement", "Row", "compare_with_official_order", "measure_network"]

_COMPARED_LABELS = 150
_LABEL_CLOUDS = 20
_OUTSIDE_NETWORK = ("preprocess", "transfer to the host", NETWORK)


@dataclass(frozen=True)
class Row:
    """A figure next to its prediction.

    Attributes:
        name: What was measured.
        predicted: The prediction, None without one.
        measured: The measurement.
        unit: Unit of both.
        timing: The spread of a time; None for other figures.
    """

    name: str
    predicted: float | None
    measured: float
    unit: str
    timing: Timing | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """The figures of a network, and what a comparison needs.

    Attributes:
        report: The report, as ``benchmarks.targets`` reads it, with the ``Row`` of each figure.
        segmenter: The network.
        x: (1, 3, h', w') network input.
        roofline: Peak rates of the device.
    """

    report: dict[str, Any]
    segmenter: Segmenter
    x: Tensor
    roofline: Roofline


def measure_network(
    settings: SegmenterConfig, size: tuple[int, int], frame_size: tuple[int, int], budget_s: float
) -> Measurement:
    """Measure a network with 5 to 254 labels, and the pipeline.

    Args:
        settings: The network and its precision.
        size: (H, W) of the image for the network.
        frame_size: (H, W) of the RGB-D frame for the pipeline.
        budget_s: Time to spend on each figure, in seconds.
    """
    gc.collect()  # the network of an earlier measurement
    segmenter = Segmenter.from_checkpoint(settings)
    device = segmenter.device
    still, frame = (SyntheticWorld(8, width, height).frame(1.0).frame for height, width in (size, frame_size))
    image = still.image
    vocabularies = {count: segmenter.encode(make_vocabulary(count)) for count in LABELS}
    compared = vocabularies[_COMPARED_LABELS]
    x = Network(segmenter).preprocess(image)[0].to(segmenter.dtype)
    weights_mib = sum(tensor.nbytes for tensor in segmenter.model.parameters()) / (1 << 20)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    names = tuple(label.name for label in compared.vocabulary.labels[:_LABEL_CLOUDS])
    pipeline = Pipeline(segmenter, PipelineConfig(cloud_labels=names))
    pipeline_timing = measure(build_pipeline_stage(pipeline, compared, frame).run, budget_s, device)
    network_timings = _time_labels(segmenter, x, vocabularies, budget_s)
    memory_mib = segmenter.memory_mib()  # before the comparison allocates memory
    roofline = Roofline(device)
    bounds_ms = {count: _bound_ms(segmenter, encoded, image, roofline) for count, encoded in vocabularies.items()}
    pipeline_bound_ms = _bound_ms(segmenter, compared, frame.image, roofline)
    size_text, frame_text = (f"{width}x{height}" for height, width in (size, frame_size))
    rows = [
        Row(f"{NETWORK}, {count} labels", bounds_ms[count], timing.median_ms, "ms", timing)
        for count, timing in network_timings.items()
    ]
    rows += [
        Row("growth from 5 to 254 labels", _growth(bounds_ms), _growth(network_timings), "%"),
        Row(
            f"{PIPELINE} {frame_text}, {_COMPARED_LABELS} labels",
            pipeline_bound_ms,
            pipeline_timing.median_ms,
            "ms",
            pipeline_timing,
        ),
        *_measure_without_fast_code(segmenter, x, compared, budget_s, bounds_ms[_COMPARED_LABELS]),
    ]
    if device.type == "cuda":
        rows.append(Row("peak GPU memory", weights_mib, memory_mib["GPU memory peak"], "MiB"))
    facts = {"size": size_text, "frame": frame_text, "labels": str(_COMPARED_LABELS)}
    timed = {NETWORK: network_timings[_COMPARED_LABELS], PIPELINE: pipeline_timing}
    report = {
        "settings": {**describe_network(settings, segmenter), **facts, "network input": f"{x.shape[3]}x{x.shape[2]}"},
        "figures": [dataclasses.asdict(row) for row in rows],
        "rows": [{"name": name, "timing": dataclasses.asdict(timing)} for name, timing in timed.items()],
        "label_scaling": [{"timing": dataclasses.asdict(timing)} for timing in network_timings.values()],
        "memory_mib": memory_mib,
        "roofline": {"memory": roofline.bytes_per_s, **roofline.flop_per_s},
    }
    return Measurement(report, segmenter, x, roofline)


def compare_with_official_order(measured: Measurement, settings: SegmenterConfig, budget_s: float) -> None:
    """Compare with the authors' order of operations, and add the result to the report.

    Args:
        measured: The network.
        settings: Its settings.
        budget_s: Time to spend on each of the two, in seconds.
    """
    segmenter, reference = measured.segmenter, load_lseg(settings.checkpoint)
    if reference.decoder.classifier is not None:  # the authors' code has no such branch
        settings = dataclasses.replace(settings, checkpoint="demo_vit")
        segmenter, reference = Segmenter.from_checkpoint(settings), load_lseg(settings.checkpoint)
    encoded, x = segmenter.encode(make_vocabulary(_COMPARED_LABELS)), measured.x.float()
    official = OfficialOrder(reference.to(segmenter.device))
    with count_ops(reference) as theirs:
        official.logits(x, [label.name for label in encoded.vocabulary.labels])
    with count_ops(segmenter.model) as ours, torch.inference_mode():
        segmenter.model.encode_low_res(x.to(segmenter.dtype))
    bound_ms = measured.roofline.lower_bound_ms
    predicted = bound_ms(theirs.work, torch.float32) / bound_ms(ours.work, segmenter.dtype)
    comparison = compare(segmenter, reference, encoded, x, budget_s)
    row = Row(f"speedup over lang-seg's order, {_COMPARED_LABELS} labels", predicted, comparison.speedup, "times")
    measured.report["figures"].append(dataclasses.asdict(row))
    measured.report["comparison"] = dataclasses.asdict(comparison)


def _time_labels(
    segmenter: Segmenter, x: Tensor, vocabularies: Mapping[int, EncodedVocabulary], budget_s: float
) -> dict[int, Timing]:
    size, network = (x.shape[2], x.shape[3]), Network(segmenter)

    def make_call(encoded: EncodedVocabulary) -> Callable[[], Tensor]:
        return lambda: network.label(x, encoded, size, size)

    calls = {str(count): make_call(encoded) for count, encoded in vocabularies.items()}
    timings = measure_interleaved(calls, budget_s, segmenter.device)
    return {count: timings[str(count)] for count in vocabularies}


def _measure_without_fast_code(
    segmenter: Segmenter, x: Tensor, encoded: EncodedVocabulary, budget_s: float, bound_ms: float
) -> list[Row]:
    """Measure the network with CUDA graphs alone, and in plain PyTorch."""
    if segmenter.device.type != "cuda":
        return []  # a CPU has neither graphs nor the kernel
    plain, graphs = (Segmenter(segmenter.model, segmenter.config) for _ in range(2))
    graphs.accelerate(fast_postprocess=None)
    rows = []
    for name, network in (("CUDA graphs without the Triton kernel", graphs), ("plain PyTorch", plain)):
        for timing in _time_labels(network, x, {_COMPARED_LABELS: encoded}, budget_s).values():
            rows.append(Row(f"{name}, {_COMPARED_LABELS} labels", bound_ms, timing.median_ms, "ms", timing))
    return rows


@torch.inference_mode()
def _bound_ms(segmenter: Segmenter, encoded: EncodedVocabulary, image: NDArray[np.uint8], roofline: Roofline) -> float:
    """Predict the time of the network.

    It is the sum of the lower bounds of its stages, at the peak rates of this device.
    """
    bound_ms = 0.0
    for stage in build_network_stages(segmenter, encoded, image):
        if stage.name not in _OUTSIDE_NETWORK:
            with count_ops(segmenter.model) as counter:
                stage.run()
            bound_ms += roofline.lower_bound_ms(counter.work + stage.extra_work, stage.dtype)
    return bound_ms


def _growth(values: Mapping[int, float] | Mapping[int, Timing]) -> float:
    few, many = (
        value.median_ms if isinstance(value, Timing) else value for value in (values[LABELS[0]], values[LABELS[-1]])
    )
    return 100 * (many / few - 1)
