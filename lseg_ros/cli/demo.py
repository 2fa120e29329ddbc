"""``lseg demo``: segment a synthetic camera and a real recording without a robot."""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.desk import DESK_FOLDER, DESK_LABELS
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.metrics import confusion_counts, iou_per_class
from lseg_ros.pipeline import FrameResult, Outputs, Pipeline, PipelineConfig
from lseg_ros.recordings import RgbdFolder
from lseg_ros.settings import check, setting
from lseg_ros.summary import LabelSummary, Summary
from lseg_ros.synthetic import CLASSES, SyntheticFrame, SyntheticWorld
from lseg_ros.visualization import demo_picture
from lseg_ros.vocabulary import Vocabulary

__all__ = ["SETTINGS", "DemoSettings", "run"]

_SUFFIXES = (".png", ".jpg")
_JPEG_QUALITY = 85
_PICTURE_OUTPUTS = Outputs.OVERLAY | Outputs.POINTS | Outputs.LABEL_CLOUDS
_MAX_LABELS_PRINTED = 5


@dataclass(frozen=True)
class DemoSettings:
    """Segment the frames of a synthetic RGB-D camera, and a recording of a real desk.

    The synthetic frames are segmented with all classes of their world and scored against the exact labels. The
    recording has no exact labels: the labels in view are printed with their shares and distances. Of both, one line is
    printed per frame, and a picture of the last frame is written.
    """

    frames: int = setting(30, "frames to segment; of the recording at most its 20, up to the last", minimum=1)
    rate_hz: float = setting(2.0, "frame rate of the synthetic camera in simulated time", unit="Hz", minimum=0.01)
    seed: int = setting(8, "number of the scene; training uses odd numbers only", minimum=0)
    width: int = setting(320, "width of the images", unit="px", minimum=64)
    height: int = setting(240, "height of the images", unit="px", minimum=64)
    out: str = setting(
        "out/lseg_demo.png", "file for the picture, .png or .jpg; that of the desk is written next to it as NAME_desk"
    )
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        check(self)
        if Path(self.out).suffix not in _SUFFIXES:
            raise ValueError(f"out: expected a file name that ends with {' or '.join(_SUFFIXES)}, got {self.out!r}")
        if self.network.unlabeled_threshold > 0:
            raise ValueError(
                f"unlabeled_threshold: expected 0, because the demo scores every pixel, "
                f"got {self.network.unlabeled_threshold}"
            )


SETTINGS = DemoSettings


def run(settings: DemoSettings) -> int:
    """Segment both cameras, print scores and times, and write the pictures."""
    pipeline = Pipeline(Segmenter.from_checkpoint(settings.network), settings.pipeline)
    out = Path(settings.out).expanduser()
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_picture(out, _score_synthetic_frames(settings, pipeline))
    _write_picture(out.with_stem(f"{out.stem}_desk"), _segment_desk(settings, pipeline))
    return 0


def _score_synthetic_frames(settings: DemoSettings, pipeline: Pipeline) -> FrameResult:
    """Segment the synthetic frames, print their scores and return the last result."""
    encoded = pipeline.segmenter.encode(Vocabulary.of(CLASSES))
    pipeline.segmenter.warm_up(settings.height, settings.width)
    world = SyntheticWorld(settings.seed, settings.width, settings.height)
    total, times_ms = np.zeros((len(CLASSES), len(CLASSES)), np.int64), []
    for number in range(settings.frames):
        scene = world.frame(number / settings.rate_hz)
        result = pipeline.process(scene.frame, encoded, _PICTURE_OUTPUTS, unlabeled_threshold=0.0)
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
    return result


def _segment_desk(settings: DemoSettings, pipeline: Pipeline) -> FrameResult:
    """Segment the recording, print the labels in view and return the last result."""
    recording = RgbdFolder(DESK_FOLDER)
    intrinsics = recording.calibration.intrinsics
    encoded = pipeline.segmenter.encode(Vocabulary.of(DESK_LABELS))
    pipeline.segmenter.warm_up(intrinsics.height, intrinsics.width)
    for number in range(max(len(recording) - settings.frames, 0), len(recording)):
        result = pipeline.process(recording[number], encoded, _PICTURE_OUTPUTS | Outputs.SUMMARY)
        assert result.summary is not None  # it was requested
        time_ms = sum(result.stage_ms.values())
        print(f"desk {number + 1}/{len(recording)}: {_format_summary(result.summary)}, {time_ms:.0f} ms")
    return result


def _write_picture(path: Path, result: FrameResult) -> None:
    picture = demo_picture(result.frame, result.segmentation, result.clouds or ())
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == ".jpg" else []
    path.write_bytes(cv2.imencode(path.suffix, picture[..., ::-1], options)[1].tobytes())
    print(f"picture of the last frame: {path}")


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


def _format_summary(summary: Summary) -> str:
    """Format the largest labels in view, such as 'desk 41% at 0.6 m, wall 12%'."""
    largest = sorted(summary.labels, key=lambda label: -label.pixels)[:_MAX_LABELS_PRINTED]
    return ", ".join(map(_format_label, largest))


def _format_label(summary: LabelSummary) -> str:
    distance = "" if math.isnan(summary.distance_m) else f" at {summary.distance_m:.1f} m"
    return f"{summary.label.name} {summary.share:.0%}{distance}"
