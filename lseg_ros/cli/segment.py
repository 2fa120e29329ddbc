"""``lseg segment``: write masks and pictures for image files."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from lseg_ros.cli.flags import read_vocabulary
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.pipeline import FrameResult, Outputs, Pipeline, PipelineConfig
from lseg_ros.recordings import RgbdFolder, list_images, read_rgb
from lseg_ros.settings import check, setting
from lseg_ros.structures import Frame
from lseg_ros.visualization import demo_picture

__all__ = ["SETTINGS", "SegmentSettings", "run"]

_RESULT = re.compile(r"((.+?)(?:_\d+)?)_(?:mask|confidence|overlay|picture)\.png")  # groups: see _unique_name


@dataclass(frozen=True)
class SegmentSettings:
    """Label every pixel of images with one of the given words.

    Writes NAME_mask.png (8-bit label ids, 0 for unlabeled pixels), NAME_confidence.png and NAME_overlay.png for each
    image, and NAME_picture.png with depth and point clouds for frames of an RGB-D recording. labels.json lists the
    ids. Images are processed upright: the EXIF orientation of photos is applied. Results of an earlier run in a folder
    of images are skipped.
    """

    images: tyro.conf.Positional[tuple[str, ...]] = setting(  # noqa: RUF009 - a tuple is immutable
        (), "image files, folders of images, or RGB-D recordings (folders with associations.txt and camera.yaml)"
    )
    labels: tuple[str, ...] = setting(
        (),
        "labels to look for, separated by spaces or commas, or a label list file (.txt) whose lines are labels "
        "or 'id: label'; "
        "'sofa|couch' is one label with two names",
    )
    prompt_templates: tuple[str, ...] = setting(
        ("{}",), "prompts in which {} stands for a label; their embeddings are averaged"
    )
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
    """Segment the images in turn; stops with an error at the first unreadable one."""
    vocabulary = read_vocabulary(settings.labels, settings.prompt_templates)
    frames = _frames(settings.images)
    segmenter = Segmenter.from_checkpoint(settings.network)
    pipeline = Pipeline(segmenter, settings.pipeline)
    encoded = segmenter.encode(vocabulary)
    out = Path(settings.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    labels = {label.id: {"name": label.name, "color": label.color} for label in vocabulary.labels}
    (out / "labels.json").write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    taken: set[str] = set()
    for path, frame in frames:
        try:
            result = pipeline.process(frame, encoded, Outputs.OVERLAY | Outputs.LABEL_CLOUDS)
        except ValueError as error:  # such as an image that is too small for the network
            raise ValueError(f"{path}: {error}") from error
        name = _unique_name(path.stem, taken)
        _write(out, name, result)
        print(f"{path}: {_summarize(result)} ({sum(result.stage_ms.values()):.0f} ms) -> {out / name}_*.png")
    return 0


def _frames(paths: tuple[str, ...]) -> Iterator[tuple[Path, Frame]]:
    """Return an iterator over (file, frame); missing files raise at once."""
    sources = [_open_source(Path(path).expanduser()) for path in paths]
    return itertools.chain.from_iterable(sources)


def _open_source(path: Path) -> Iterator[tuple[Path, Frame]]:
    if (path / "associations.txt").exists():
        recording = RgbdFolder(path)
        return ((pair.rgb, frame) for pair, frame in zip(recording.associations, recording))
    files = list_images(path)
    if path.is_dir():
        files = [file for file in files if not _is_result(file, files)]
    return ((file, Frame(read_rgb(file))) for file in files)


def _is_result(file: Path, files: Sequence[Path]) -> bool:
    """Return whether a file is a result of this command that was written next to its image.

    It is one if its name is that of a result, its image is in the same folder, and so is labels.json.
    """
    match = _RESULT.fullmatch(file.name)
    if match is None or not file.with_name("labels.json").is_file():
        return False
    return any(other.stem in (match[1], match[2]) for other in files if other != file)


def _write(out: Path, name: str, result: FrameResult) -> None:
    _write_png(out / f"{name}_mask.png", result.segmentation.label_map)
    _write_png(out / f"{name}_confidence.png", result.segmentation.confidence)
    if result.overlay is not None:
        _write_png(out / f"{name}_overlay.png", result.overlay)
    if result.clouds is not None:
        picture = demo_picture(result.frame, result.segmentation, result.clouds)
        _write_png(out / f"{name}_picture.png", picture)


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    path.write_bytes(data.tobytes())


def _summarize(result: FrameResult) -> str:
    """Return the shares of the labels, largest first, such as 'floor 62%, chair 21%'."""
    label_map = result.segmentation.label_map
    counts = np.bincount(label_map.reshape(-1), minlength=256)
    labels = sorted(result.segmentation.vocabulary.labels, key=lambda label: -counts[label.id])
    shares = [f"{label.name} {counts[label.id] / label_map.size:.0%}" for label in labels if counts[label.id]]
    return ", ".join(shares[:6]) + (f" and {len(shares) - 6} more" if len(shares) > 6 else "") or "no labels"


def _unique_name(stem: str, taken: set[str]) -> str:
    """Return the stem, with a number if an image of another folder has the same stem."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name
