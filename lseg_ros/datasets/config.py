"""Settings that choose a data set, its location and its split."""

from __future__ import annotations

from dataclasses import dataclass

from lseg_ros.settings import check, setting

__all__ = ["LABELED", "ZERO_SHOT", "DatasetConfig"]

LABELED = ("synthetic", "ade20k", "voc2012", "cityscapes", "pascal_context", "coco_stuff", "folder")
ZERO_SHOT = ("pascal_5i", "coco_20i", "fss_1000")


@dataclass(frozen=True)
class DatasetConfig:
    """A data set by name. docs/datasets.md describes the folder layouts."""

    dataset: str = setting("synthetic", "data set", choices=LABELED + ZERO_SHOT)
    root: str = setting("", "folder of the data set, not used by the synthetic set")
    split: str = setting("val", "split of the data set", choices=("val", "train"))
    names: str = setting(
        "authors",
        "class names of known data sets: as LSeg's authors abbreviated them, or in full",
        choices=("authors", "full"),
    )
    background: bool = setting(
        True,
        "pixels outside all objects are the class 'background' in voc2012, in pascal_context, and in annotations "
        "whose label list contains it; otherwise they are ignored",
    )
    annotations: str = setting(
        "auto",
        "annotations of `folder`: detected, masks of ids, or the export of a tool",
        choices=("auto", "masks", "labelme", "coco", "cvat", "cvat_masks", "roboflow"),
    )
    labels: str = setting(
        "", "label list file, one entry per line: the classes of `folder`, or other names for a known data set"
    )
    splits: str = setting(
        "",
        "folder of the zero-shot split files; if empty, splits or data/splits in the root, or data/splits next to it",
    )
    fold: int = setting(0, "fold of pascal_5i and coco_20i", minimum=0, maximum=3)
    episodes: int = setting(1000, "episodes of pascal_5i and coco_20i", minimum=1)
    episode_seed: int = setting(0, "random seed of the episodes of coco_20i", minimum=0)
    frames: int = setting(200, "scenes of the synthetic set", minimum=1)
    seed: int = setting(
        7, "seed of the synthetic set, whose splits share no scene; in training, seed of all random numbers", minimum=0
    )
    colors: bool = setting(False, "synthetic set: also label objects by their color ('red ball')")
    left_out: int = setting(
        -1, "synthetic set: zero-shot fold whose classes are left unlabeled; -1 for none", minimum=-1, maximum=3
    )
    width: int = setting(320, "image width of the synthetic set", unit="px", minimum=32)
    height: int = setting(240, "image height of the synthetic set", unit="px", minimum=32)

    def __post_init__(self) -> None:
        check(self)
