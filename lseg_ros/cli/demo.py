"""``lseg demo``: the whole path of a frame without a robot, scored as it goes."""

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
    """Segment a synthetic RGB-D camera's frames by the names of all that exists in its world.

    Prints a line per frame and the scores against the exact labels; writes a picture of the last frame.
    """

    frames: int = setting(30, "frames to segment", minimum=1)
    rate_hz: float = setting(2.0, "frames per second of the synthetic camera's clock", unit="Hz", minimum=0.01)
    seed: int = setting(8, "scene; even ones are never used in training", minimum=0)
    width: int = setting(320, "width of the camera's image", unit="px", minimum=64)
    height: int = setting(240, "height of the camera's image", unit="px", minimum=64)
    out: str = setting("out/lseg_demo.png", "file for the picture")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        check(self)
        if self.network.unlabeled_threshold:
            raise ValueError(
                f"unlabeled_threshold: expected 0, the demo scores every pixel, got {self.network.unlabeled_threshold}"
            )


SETTINGS = DemoSettings


def run(settings: DemoSettings) -> int:
    """Segment, score and draw."""
    segmenter = Segmenter.from_checkpoint(settings.network)
    pipeline = Pipeline(segmenter, settings.pipeline)
    encoded = segmenter.encode(Vocabulary.of(CLASSES))
    segmenter.warm_up(settings.height, settings.width)
    world = SyntheticWorld(settings.seed, settings.width, settings.height)
    whole, took_ms = Confusion(CLASSES), []
    for number in range(settings.frames):
        scene = world.frame(number / settings.rate_hz)
        products = pipeline.process(scene.frame, encoded, Outputs.OVERLAY | Outputs.POINTS | Outputs.LABEL_CLOUDS)
        took_ms.append(sum(products.stage_ms.values()))
        alone = Confusion(CLASSES)
        for confusion in (whole, alone):
            _count(confusion, scene, products)
        print(f"frame {number + 1}/{settings.frames}: mean IoU {alone.scores().miou:.2f}, {_stages(products)}")
    print(whole.scores().table())
    print(f"{'median time':<20} {statistics.median(took_ms):4.0f} ms a frame")
    out = Path(settings.out).expanduser()
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = demo_picture(products.frame, products.segmentation, products.clouds or ())
    out.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    print(f"picture of the last frame: {out}")
    return 0


def _count(confusion: Confusion, scene: SyntheticFrame, products: FrameResult) -> None:
    """Ids of the fresh vocabulary are those of the world: both count from 1 in the order of CLASSES."""
    predicted, exact = (
        torch.from_numpy(labels.astype(np.int16) - 1) for labels in (products.segmentation.label_map, scene.labels)
    )
    confusion.add(predicted, exact)


def _stages(products: FrameResult) -> str:
    return ", ".join(f"{stage} {took:.0f} ms" for stage, took in products.stage_ms.items())
