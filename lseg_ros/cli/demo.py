"""``lseg demo``: segment a synthetic camera without a robot, and score the result."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lseg_ros.evaluation.scores import Confusion
from lseg_ros.inference import Segmenter, SegmenterConfig
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
    total, times_ms = Confusion(CLASSES), []
    for number in range(settings.frames):
        scene = world.frame(number / settings.rate_hz)
        result = pipeline.process(scene.frame, encoded, Outputs.OVERLAY | Outputs.POINTS | Outputs.LABEL_CLOUDS)
        times_ms.append(sum(result.stage_ms.values()))
        single = Confusion(CLASSES)
        for confusion in (total, single):
            _add_frame(confusion, scene, result)
        print(f"frame {number + 1}/{settings.frames}: mean IoU {single.scores().miou:.2f}, {_format_stages(result)}")
    print(total.scores().table())
    print(f"{'median time':<20} {statistics.median(times_ms):4.0f} ms per frame")
    out = Path(settings.out).expanduser()
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = demo_picture(result.frame, result.segmentation, result.clouds or ())
    out.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    print(f"picture of the last frame: {out}")
    return 0


def _add_frame(confusion: Confusion, scene: SyntheticFrame, result: FrameResult) -> None:
    # A new vocabulary numbers CLASSES from 1, as the world does.
    predicted, exact = (
        torch.from_numpy(labels.astype(np.int16) - 1) for labels in (result.segmentation.label_map, scene.labels)
    )
    confusion.add(predicted, exact)


def _format_stages(result: FrameResult) -> str:
    return ", ".join(f"{stage} {time_ms:.0f} ms" for stage, time_ms in result.stage_ms.items())
