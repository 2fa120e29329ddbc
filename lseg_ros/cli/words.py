"""``lseg words``: segment one image with several label lists."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.recordings import read_rgb
from lseg_ros.settings import check, setting
from lseg_ros.structures import Segmentation
from lseg_ros.synthetic import CLASSES, SyntheticWorld
from lseg_ros.visualization import overlay, side_by_side
from lseg_ros.vocabulary import Vocabulary

__all__ = ["SETTINGS", "WordsSettings", "run"]

_HEIGHT_PX = 480  # of the pictures, so that legends are legible


@dataclass(frozen=True)
class WordsSettings:
    """Segment one image with several label lists and write a Markdown page with the results.

    The network encodes the image once; only the labels change.
    """

    image: str = setting("", "image file; if empty, a scene of the synthetic world")
    seed: int = setting(44, "number of the synthetic scene; training uses odd numbers only", minimum=0)
    time_s: float = setting(4.0, "time at which the scene is rendered", unit="s", minimum=0.0)
    vocabularies: tuple[str, ...] = setting(
        (
            "everything: " + ", ".join(CLASSES),
            "the same things in other words: "
            + "couch, carpet, desk, tv, flooring, cupboard, wall, ceiling, door, window, "
            "kitty, puppy, armchair, bookshelf, houseplant, human, floor lamp, mug, flask, carton",
            "general words: furniture, animal, wall, floor, ceiling, window, door, person, potted plant, lamp, ball",
            "synonyms in one label: sofa|couch|chair|bench, table|desk, shelf|cabinet|cupboard, floor|rug|carpet, "
            "wall|ceiling|door|window, person|human, cat|dog|animal",
            "what to drive on: floor, rug, furniture, wall, animal, person",
            "one word and its opposite: furniture, wall|floor|ceiling",
        ),
        "label lists, each as 'title: label, label, ...'",
    )
    out: str = setting("out/words.md", "page to write; its pictures are written to a folder with the same name")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)
        for text in self.vocabularies:
            title, _, labels = text.partition(":")
            if not (title.strip() and labels.strip()):
                raise ValueError(f"vocabularies: expected 'title: label, label, ...', got {text!r}")


SETTINGS = WordsSettings


def run(settings: WordsSettings) -> int:
    """Encode the image once, segment it with each label list, and write the page."""
    segmenter = Segmenter.from_checkpoint(settings.network)
    image = _read_image(settings)
    try:
        embedded = segmenter.embed(image)
    except ValueError as error:  # such as an image that is too small for the network
        raise ValueError(f"{settings.image or 'scene'}: {error}") from error
    page = Path(settings.out).expanduser()
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for number, text in enumerate(settings.vocabularies, start=1):
        title, _, labels = text.partition(":")
        vocabulary = Vocabulary.of([label.strip() for label in labels.split(",")])
        segmentation = segmenter.label(embedded, segmenter.encode(vocabulary))
        name = f"{folder.name}/{number}.jpg"
        _write(page.parent / name, image, segmentation)
        sections.append(f"## {title.strip().capitalize()}\n\n![{title.strip()}]({name})\n\nLabels: {labels.strip()}.\n")
        print(f"{title.strip()}: {page.parent / name}")
    source = f"the image {Path(settings.image).name}" if settings.image else f"scene {settings.seed}"
    head = (
        f"# One image, {len(sections)} label lists\n\nThe network (`{settings.network.checkpoint}`) encodes {source} "
        "once; only the labels change. Written by `lseg words`.\n\n"
    )
    page.write_text(head + "\n".join(sections), encoding="utf-8")
    print(f"page: {page}")
    return 0


def _read_image(settings: WordsSettings) -> NDArray[np.uint8]:
    """Read the image file or render the synthetic scene, (H, W, 3) uint8 RGB."""
    if not settings.image:
        return SyntheticWorld(settings.seed, 640, 480).frame(settings.time_s).frame.image
    return read_rgb(settings.image)


def _write(path: Path, image: NDArray[np.uint8], segmentation: Segmentation) -> None:
    """Write the image and its labels next to each other."""
    width = round(_HEIGHT_PX * image.shape[1] / image.shape[0])
    picture = np.asarray(cv2.resize(image, (width, _HEIGHT_PX), interpolation=cv2.INTER_AREA), np.uint8)
    labels, confidence = (
        np.asarray(cv2.resize(values, (width, _HEIGHT_PX), interpolation=cv2.INTER_NEAREST), np.uint8)
        for values in (segmentation.label_map, segmentation.confidence)
    )
    shown = overlay(picture, Segmentation(labels, confidence, segmentation.vocabulary), 0.6)
    both = side_by_side({"image": picture, "labels": shown})
    path.write_bytes(cv2.imencode(".jpg", both[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
