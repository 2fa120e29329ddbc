"""PASCAL-5i, COCO-20i and FSS-1000: images that ask for classes which training left out.

Folds, lists and masks are those of the few-shot literature, in the folders that HSNet made customary. ``val`` is what
LSeg's authors test on; ``train`` asks for the classes that may be learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lseg_ros.datasets.config import DatasetConfig
from lseg_ros.datasets.files import Pair, check_pairs, find_folder, read_gray, read_lines, target_reader
from lseg_ros.datasets.labels import COCO, VOC, join_words, read_words
from lseg_ros.datasets.pairs import checked_index, read_pair, resize_image
from lseg_ros.datasets.sample import IGNORE, Episode
from lseg_ros.datasets.splits import find_split_file, read_images_by_class, read_split

__all__ = ["EpisodeSpec", "PairedEpisodes", "open_coco_20i", "open_fss_1000", "open_pascal_5i"]

_FOLDS = range(4)
_LIST_OF = {"train": "trn", "val": "val"}


class EpisodeSpec(NamedTuple):
    """Where in ``pair.image`` is the class? read_target answers it from the mask: 1, 0 or IGNORE, (H, W) int16."""

    pair: Pair
    class_index: int
    read_target: Callable[[Path], NDArray[np.int16]]


@dataclass(frozen=True, eq=False)
class PairedEpisodes:
    """Questions about images and masks in files, read and resized when an episode is taken, as LSeg's authors do.

    The image is resized bilinearly by Pillow, the target to the pixel at the floor of row * H / 480 and
    column * W / 480, as torch's nearest interpolation does; the aspect is not kept.
    """

    classes: tuple[str, ...]
    specs: Sequence[EpisodeSpec]
    size: tuple[int, int] = (480, 480)

    def __len__(self) -> int:
        return len(self.specs)

    def __getitem__(self, index: int) -> Episode:
        pair, class_index, read_target = self.specs[checked_index(index, len(self))]
        image, target = read_pair(pair, read_target)
        width, height = self.size
        rows, columns = (
            np.floor(np.arange(new, dtype=np.float32) * np.float32(old / new)).astype(int)
            for new, old in zip((height, width), target.shape)
        )
        return Episode(resize_image(image, height, width), target[rows[:, None], columns], class_index)

    def name(self, index: int) -> str:
        return str(self.specs[index].pair.image)


def open_pascal_5i(config: DatasetConfig) -> PairedEpisodes:
    """Fold f asks for classes 5f to 5f+4 of Pascal VOC; 255 is IGNORE.

    ``val`` goes through the fold's list until there are as many episodes as wanted, from its start again where it is
    shorter. ``train`` is every image of the other folds' training lists.
    """
    masks = find_folder(
        config.root, *(f"{each}SegmentationClassAug" for each in ("VOC2012/", "VOCdevkit/VOC2012/", ""))
    )
    fold = range(5 * config.fold, 5 * config.fold + 5)
    tested = config.split == "val"
    files = [
        _find_split_file(config, f"pascal/{_LIST_OF[config.split]}/fold{each}.txt")
        for each in _FOLDS
        if (each == config.fold) == tested
    ]
    asked = [each for file in files for each in read_split(file, len(VOC))]
    pairs = [Pair(masks.parent / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name, _ in asked]
    listed = list(zip(check_pairs(pairs, files[0].parent), (index for _, index in asked)))
    episodes = list(islice(cycle(listed), config.episodes)) if tested else listed
    classes = [index for index in range(len(VOC)) if (index in fold) == tested]
    return _asked(episodes, classes, _words(config, VOC), IGNORE)


def open_coco_20i(config: DatasetConfig) -> PairedEpisodes:
    """Fold f asks for COCO's classes f + 4v; every pixel of the mask counts.

    Each episode draws a class, then one of its images, as NumPy's legacy generator does after ``episode_seed``: with
    seed 0 those that the authors' test sees.
    """
    images = find_folder(config.root, "COCO2014/annotations", "annotations").parent
    tested = config.split == "val"
    fold = f"coco/{_LIST_OF[config.split]}/fold{config.fold}"
    file = _find_split_file(config, f"{fold}.pkl", f"{fold}.txt")
    named = read_images_by_class(file, len(COCO))
    classes = [index for index in range(len(COCO)) if (index % 4 == config.fold) == tested]
    missing = [join_words(COCO)[index] for index in classes if not named.get(index)]
    if missing:
        raise ValueError(f"{file}: expected images of every class of the fold, got none of {', '.join(missing)}")
    generator = np.random.RandomState(config.episode_seed)
    drawn = []
    for _ in range(config.episodes):
        index = int(generator.choice(classes, 1, replace=False)[0])
        drawn.append((str(generator.choice(named[index], 1, replace=False)[0]), index))
    names = [name[:-4] if name.endswith(".jpg") else name for name, _ in drawn]
    pairs = [Pair(images / f"{name}.jpg", images / "annotations" / f"{name}.png") for name in names]
    episodes = list(zip(check_pairs(pairs, file), (index for _, index in drawn)))
    return _asked(episodes, classes, _words(config, COCO), 0)


def open_fss_1000(config: DatasetConfig) -> PairedEpisodes:
    """Every image of the 240 test categories, or of the 520 for training; a mask is what is at least half white."""
    top = find_folder(config.root, "FSS-1000", "fewshot_data", ".")
    file = _find_split_file(config, "fss/test.txt" if config.split == "val" else "fss/trn.txt")
    categories = sorted(read_lines(file))
    episodes = []
    for index, category in enumerate(categories):
        images = sorted((top / category).glob("*.jpg"))
        if not images:
            raise FileNotFoundError(f"{top / category}: expected the images of a category of {file}, got none")
        pairs = check_pairs([Pair(image, image.with_suffix(".png")) for image in images], top / category)
        episodes += [EpisodeSpec(pair, index, _white) for pair in pairs]
    if config.labels:
        return PairedEpisodes(read_words(config.labels, len(categories)), episodes)
    spelled = categories if config.names == "authors" else [each.replace("_", " ") for each in categories]
    return PairedEpisodes(tuple(spelled), episodes)


def _find_split_file(config: DatasetConfig, *names: str) -> Path:
    return find_split_file(Path(config.root).expanduser(), config.splits, *names)


def _asked(
    episodes: Sequence[tuple[Pair, int]], classes: Sequence[int], words: Sequence[str], unlabeled: int
) -> PairedEpisodes:
    """Masks hold 1 and up for ``words``; ``classes`` are the indices of those that are asked for."""
    elsewhere = {**dict.fromkeys(range(len(words) + 1), 0), 255: unlabeled}
    readers = {index: target_reader({**elsewhere, index + 1: 1}) for index in classes}
    places = {index: place for place, index in enumerate(classes)}
    return PairedEpisodes(
        tuple(words[index] for index in classes),
        [EpisodeSpec(pair, places[index], readers[index]) for pair, index in episodes],
    )


def _words(config: DatasetConfig, words: tuple[str, ...]) -> tuple[str, ...]:
    if config.labels:
        return read_words(config.labels, len(words))
    return join_words(words) if config.names == "authors" else words


def _white(path: Path) -> NDArray[np.int16]:
    return (read_gray(path) >= 128).astype(np.int16)
