"""``lseg demo``: segment a synthetic camera without a robot, and score the result."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.metrics import confusion_counts, iou_per_class
from lseg_ros.pipeline import FrameResult, Outputs, Pipeline, PipelineConfig
from lseg_ros.settings import check, setting
from lseg_ros.synthetic import CLASSES, SyntheticFrame, SyntheticWorld
from lseg_ros.visualization import demo_picture
from lseg_ros.vocabulary import Vocabulary

__all__ = ["SETTINGS", "DemoSettings", "run"]


@dataclass(frozen=True)
class DemoSettings:
    """Segment the frames of a synthetic RGB-D camera with all classes of its world.

    Prints one line per frame and the scores against the exact labels, and writes a picture of the last frame.
    """

    frames: int = setting(30, "frames to segment", minimum=1)
    rate_hz: float = setting(2.0, "frame rate of the synthetic camera in simulated time", unit="Hz", minimum=0.01)
    seed: int = setting(8, "number of the scene; training uses odd numbers only", minimum=0)
    width: int = setting(320, "width of the images", unit="px", minimum=64)
    height: int = setting(240, "height of the images", unit="px", minimum=64)
    out: str = setting("out/lseg_demo.png", "PNG file for the picture")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        check(self)
        if self.network.unlabeled_threshold:
            raise ValueError(
                f"unlabeled_threshold: expected 0, because the demo scores every pixel, "
                f"got {self.network.unlabeled_threshold}"
            )


SETTINGS = DemoSettings


def run(settings: DemoSettings) -> int:
    """Segment the frames, print scores and times, and write the picture."""
    segmenter = Segmenter.from_checkpoint(settings.network)
    pipeline = Pipeline(segmenter, settings.pipeline)
    encoded = segmenter.encode(Vocabulary.of(CLASSES))
    segmenter.warm_up(settings.height, settings.width)
    world = SyntheticWorld(settings.seed, settings.width, settings.height)
    total, times_ms = np.zeros((len(CLASSES), len(CLASSES)), np.int64), []
    for number in range(settings.frames):
        scene = world.frame(number / settings.rate_hz)
        result = pipeline.process(scene.frame, encoded, Outputs.OVERLAY | Outputs.POINTS | Outputs.LABEL_CLOUDS)
        times_ms.append(sum(result.stage_ms.values()))
        counts = _count_pixels(scene, result)
        total += counts
        miou = np.mean(list(_iou_by_class(counts).values()))
        print(f"frame {number + 1}/{settings.frames}: mean IoU {miou:.2f}, {_format_stages(result)}")
    scores = _iou_by_class(total)
    for name, iou in sorted(scores.items(), key=lambda item: -item[1]):
        print(f"{name:<20} {iou:6.3f}")
    print(f"{'mean IoU':<20} {np.mean(list(scores.values())):6.3f}")
    print(f"{'median time':<20} {statistics.median(times_ms):4.0f} ms per frame")
    out = Path(settings.out).expanduser()
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = demo_picture(result.frame, result.segmentation, result.clouds or ())
    out.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    print(f"picture of the last frame: {out}")
    return 0


def _count_pixels(scene: SyntheticFrame, result: FrameResult) -> NDArray[np.int64]:
    # A new vocabulary numbers CLASSES from 1, as the world does.
    return confusion_counts(scene.labels - 1, result.segmentation.label_map - 1, len(CLASSES))


def _iou_by_class(counts: NDArray[np.int64]) -> dict[str, float]:
    """IoU of the classes that are in view or predicted."""
    seen = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    iou = iou_per_class(counts)
    return {CLASSES[index]: float(iou[index]) for index in seen}


def _format_stages(result: FrameResult) -> str:
    return ", ".join(f"{stage} {time_ms:.0f} ms" for stage, time_ms in result.stage_ms.items())
