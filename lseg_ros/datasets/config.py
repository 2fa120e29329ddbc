"""Which data set, where it lies, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass

from lseg_ros.settings import check, setting

__all__ = ["LABELED", "ZERO_SHOT", "DatasetConfig"]

LABELED = ("synthetic", "ade20k", "voc2012", "cityscapes", "pascal_context", "coco_stuff", "folder")
ZERO_SHOT = ("pascal_5i", "coco_20i", "fss_1000")


@dataclass(frozen=True)
class DatasetConfig:
    """A data set by name; docs/datasets.md has the folder layouts."""

    dataset: str = setting("synthetic", "data set", choices=LABELED + ZERO_SHOT)
    root: str = setting("", "folder of the data set; the synthetic one needs none")
    split: str = setting("val", "part of the data set", choices=("val", "train"))
    names: str = setting(
        "authors", "words of a known set: as LSeg's authors asked, or written out in full", choices=("authors", "full")
    )
    background: bool = setting(
        True, "voc2012, pascal_context: pixels that are none of the things count, as the class 'background'"
    )
    labels: str = setting("", "label list file: the words of `folder`, or other words for a known set, one per line")
    splits: str = setting("", "folder of the zero-shot split files; empty: splits or data/splits in or beside the root")
    fold: int = setting(0, "fold of pascal_5i and coco_20i", minimum=0, maximum=3)
    episodes: int = setting(1000, "episodes of pascal_5i and coco_20i", minimum=1)
    episode_seed: int = setting(0, "seed that draws the episodes of coco_20i", minimum=0)
    frames: int = setting(200, "scenes of the synthetic set", minimum=1)
    seed: int = setting(7, "seed of the synthetic set, whose splits share no scene; in training, all draws", minimum=0)
    colors: bool = setting(False, "synthetic set: things are asked for with their color as well ('red ball')")
    left_out: int = setting(
        -1, "synthetic set: zero-shot fold whose classes are left out, as if they had no label; -1 for none",
        minimum=-1, maximum=3,
    )  # fmt: skip
    width: int = setting(320, "image width of the synthetic set", unit="px", minimum=32)
    height: int = setting(240, "image height of the synthetic set", unit="px", minimum=32)

    def __post_init__(self) -> None:
        check(self)
