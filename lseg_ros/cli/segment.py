"""``lseg segment``: masks and pictures of image files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.pipeline import FrameResult, Outputs, Pipeline, PipelineConfig
from lseg_ros.recordings import RgbdFolder, list_images, read_rgb
from lseg_ros.settings import check, setting
from lseg_ros.structures import Frame
from lseg_ros.visualization import demo_picture
from lseg_ros.vocabulary import Vocabulary

__all__ = ["SETTINGS", "SegmentSettings", "run"]


@dataclass(frozen=True)
class SegmentSettings:
    """Label every pixel of images by words.

    Writes for each image NAME_mask.png (8 bit, a label's id per pixel, 0 where there is none), NAME_confidence.png
    and NAME_overlay.png; for frames of an RGB-D recording also NAME_picture.png with depth and clouds. The ids are
    in labels.json.
    """

    images: tyro.conf.Positional[tuple[str, ...]] = setting(  # noqa: RUF009 - a tuple cannot change
        (), "image files, folders of images, or RGB-D recordings (folders with associations.txt and camera.yaml)"
    )
    labels: tuple[str, ...] = setting((), "what to look for; 'sofa|couch' is one label with two names")
    prompt_templates: tuple[str, ...] = setting(("{}",), "texts around a label, whose embeddings are averaged")
    out: str = setting("out", "folder for the results")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        check(self)
        for name in ("images", "labels"):
            if not getattr(self, name):
                raise ValueError(f"{name}: expected at least one, got none")


SETTINGS = SegmentSettings


def run(settings: SegmentSettings) -> int:
    """Segment one image after the other; an image that cannot be read ends the run with its name."""
    vocabulary = Vocabulary.of(settings.labels, prompt_templates=settings.prompt_templates)
    frames = _frames(settings.images)
    segmenter = Segmenter.from_checkpoint(settings.network)
    pipeline = Pipeline(segmenter, settings.pipeline)
    encoded = segmenter.encode(vocabulary)
    out = Path(settings.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    listed = {label.id: {"name": label.name, "color": label.color} for label in vocabulary.labels}
    (out / "labels.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    written: set[str] = set()
    for path, frame in frames:
        products = pipeline.process(frame, encoded, Outputs.OVERLAY | Outputs.LABEL_CLOUDS)
        name = _free(path.stem, written)
        _write(out, name, products)
        print(f"{path}: {_in_view(products)} ({sum(products.stage_ms.values()):.0f} ms) -> {out / name}_*.png")
    return 0


def _frames(paths: tuple[str, ...]) -> Iterator[tuple[Path, Frame]]:
    """(file, frame) of every image; what is missing is found before the first one is segmented."""
    sources = [_source(Path(path).expanduser()) for path in paths]
    return (each for source in sources for each in source)


def _source(path: Path) -> Iterator[tuple[Path, Frame]]:
    if (path / "associations.txt").exists():
        recording = RgbdFolder(path)
        return ((pair.rgb, frame) for pair, frame in zip(recording.associations, recording))
    files = list_images(path)
    return ((file, Frame(read_rgb(file))) for file in files)


def _write(out: Path, name: str, products: FrameResult) -> None:
    _write_png(out / f"{name}_mask.png", products.segmentation.label_map)
    _write_png(out / f"{name}_confidence.png", products.segmentation.confidence)
    if products.overlay is not None:
        _write_png(out / f"{name}_overlay.png", products.overlay)
    if products.clouds is not None:
        picture = demo_picture(products.frame, products.segmentation, products.clouds)
        _write_png(out / f"{name}_picture.png", picture)


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    path.write_bytes(data.tobytes())


def _in_view(products: FrameResult) -> str:
    """'floor 62 %, chair 21 %, ...', the largest first."""
    label_map = products.segmentation.label_map
    counts = np.bincount(label_map.reshape(-1), minlength=256)
    labels = sorted(products.segmentation.vocabulary.labels, key=lambda label: -counts[label.id])
    seen = [f"{label.name} {counts[label.id] / label_map.size:.0%}" for label in labels if counts[label.id]]
    return ", ".join(seen[:6]) + (f" and {len(seen) - 6} more" if len(seen) > 6 else "") or "nothing"


def _free(stem: str, written: set[str]) -> str:
    """The stem, numbered where an image of another folder had it before."""
    name, number = stem, 2
    while name in written:
        name, number = f"{stem}_{number}", number + 1
    written.add(name)
    return name
