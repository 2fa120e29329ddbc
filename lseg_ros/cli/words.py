"""``lseg words``: one scene asked with several vocabularies, as a page with pictures."""

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

_UPSCALED = 480  # pixels: height of the pictures, so that legends can be read


@dataclass(frozen=True)
class WordsSettings:
    """Ask one picture with several vocabularies, and write a page that shows what each of them makes of it.

    The network sees the picture once; the words change.
    """

    image: str = setting("", "picture to ask; empty: a scene of the synthetic world")
    seed: int = setting(44, "the scene; even ones are never used in training", minimum=0)
    time_s: float = setting(4.0, "the moment at which it is seen", unit="s", minimum=0.0)
    vocabularies: tuple[str, ...] = setting(
        (
            "everything: " + ", ".join(CLASSES),
            "other words for the same: " + "couch, carpet, desk, tv, flooring, cupboard, wall, ceiling, door, window, "
            "kitty, puppy, armchair, bookshelf, houseplant, human, floor lamp, mug, flask, carton",
            "general words: furniture, animal, wall, floor, ceiling, window, door, person, potted plant, lamp, ball",
            "synonyms in one label: sofa|couch|chair|bench, table|desk, shelf|cabinet|cupboard, floor|rug|carpet, "
            "wall|ceiling|door|window, person|human, cat|dog|animal",
            "what to drive on: floor, rug, furniture, wall, animal, person",
            "one word and its opposite: furniture, wall|floor|ceiling",
        ),
        "what is asked, one text for each picture: a title, a colon, and words with commas between them",
    )
    out: str = setting("out/words.md", "page to write; its pictures come into a folder of its name")
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)
        for text in self.vocabularies:
            title, colon, words = text.partition(":")
            if not (title.strip() and colon and words.strip()):
                raise ValueError(f"vocabularies: expected 'title: word, word, ...', got {text!r}")


SETTINGS = WordsSettings


def run(settings: WordsSettings) -> int:
    """Embed once, label with each vocabulary, write."""
    segmenter = Segmenter.from_checkpoint(settings.network)
    image = _picture(settings)
    embedded = segmenter.embed(image)
    page = Path(settings.out).expanduser()
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for number, text in enumerate(settings.vocabularies, start=1):
        title, _, words = text.partition(":")
        vocabulary = Vocabulary.of([word.strip() for word in words.split(",")])
        made = segmenter.label(embedded, segmenter.encode(vocabulary))
        name = f"{folder.name}/{number}.jpg"
        _write(page.parent / name, image, made)
        sections.append(f"## {title.strip().capitalize()}\n\n![{title.strip()}]({name})\n\nAsked: {words.strip()}.\n")
        print(f"{title.strip()}: {page.parent / name}")
    scene = f"the picture {Path(settings.image).name}" if settings.image else f"scene {settings.seed}"
    head = (
        f"# One picture, {len(sections)} vocabularies\n\nThe network (`{settings.network.checkpoint}`) sees {scene} "
        "once; what it is asked changes. Made by `lseg words`.\n\n"
    )
    page.write_text(head + "\n".join(sections), encoding="utf-8")
    print(f"page: {page}")
    return 0


def _picture(settings: WordsSettings) -> NDArray[np.uint8]:
    """Read the image that the settings name, or render the synthetic scene: (H, W, 3) uint8 RGB."""
    if not settings.image:
        return SyntheticWorld(settings.seed, 640, 480).frame(settings.time_s).frame.image
    return read_rgb(settings.image)


def _write(path: Path, image: NDArray[np.uint8], made: Segmentation) -> None:
    """What the camera sees, and what the words make of it."""
    width = round(_UPSCALED * image.shape[1] / image.shape[0])
    picture = np.asarray(cv2.resize(image, (width, _UPSCALED), interpolation=cv2.INTER_AREA), np.uint8)
    labels, confidence = (
        np.asarray(cv2.resize(each, (width, _UPSCALED), interpolation=cv2.INTER_NEAREST), np.uint8)
        for each in (made.label_map, made.confidence)
    )
    shown = overlay(picture, Segmentation(labels, confidence, made.vocabulary), 0.6)
    both = side_by_side({"image": picture, "labels": shown})
    path.write_bytes(cv2.imencode(".jpg", both[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
