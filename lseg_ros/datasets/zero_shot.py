"""PASCAL-5i, COCO-20i and FSS-1000: zero-shot tests with classes that training leaves out.

Folds, split files and masks are those of the few-shot literature, in the folder layout of HSNet. ``val`` is the split
that LSeg's authors test on; ``train`` has the classes that may be learned.
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
_SPLIT_FOLDERS = {"train": "trn", "val": "val"}


class EpisodeSpec(NamedTuple):
    """The files and the class of an episode.

    Attributes:
        pair: Image and mask.
        class_index: Index of the class to find.
        read_target: Function from the path of the mask to the (H, W) int16 target: 1, 0 or IGNORE.
    """

    pair: Pair
    class_index: int
    read_target: Callable[[Path], NDArray[np.int16]]


@dataclass(frozen=True, eq=False)
class PairedEpisodes:
    """Episodes of image and mask files, read and resized on access as LSeg's authors do.

    The image is resized bilinearly with Pillow. The target takes the pixel at the floor of row * H / 480 and
    column * W / 480, as torch's nearest interpolation does. The aspect ratio is not kept.

    Attributes:
        classes: The classes that the test asks for.
        specs: Files and class of each episode.
        size: (width, height) of images and targets in pixels.
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
        """Return the path of the image."""
        return str(self.specs[index].pair.image)


def open_pascal_5i(config: DatasetConfig) -> PairedEpisodes:
    """Open PASCAL-5i, whose fold f asks for classes 5f to 5f+4 of Pascal VOC; 255 is IGNORE.

    ``val`` repeats the fold's list until there are ``config.episodes`` episodes. ``train`` has every image of the
    other folds' training lists once.

    Raises:
        FileNotFoundError: If a folder, a split file or an image is missing.
        ValueError: If a split file is not valid.
    """
    candidates = (f"{folder}SegmentationClassAug" for folder in ("VOC2012/", "VOCdevkit/VOC2012/", ""))
    masks = find_folder(config.root, *candidates)
    classes_of_fold = range(5 * config.fold, 5 * config.fold + 5)
    is_test = config.split == "val"
    folds = [fold for fold in _FOLDS if (fold == config.fold) == is_test]
    files = [_find_split_file(config, f"pascal/{_SPLIT_FOLDERS[config.split]}/fold{fold}.txt") for fold in folds]
    entries = [entry for file in files for entry in read_split(file, len(VOC))]
    pairs = [Pair(masks.parent / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name, _ in entries]
    listed = list(zip(check_pairs(pairs, files[0].parent), (index for _, index in entries)))
    episodes = list(islice(cycle(listed), config.episodes)) if is_test else listed
    classes = [index for index in range(len(VOC)) if (index in classes_of_fold) == is_test]
    return _build_episodes(episodes, classes, _class_names(config, VOC), IGNORE)


def open_coco_20i(config: DatasetConfig) -> PairedEpisodes:
    """Open COCO-20i, whose fold f asks for COCO's classes f + 4v.

    Every pixel of a mask is scored.

    Each episode draws a class and then one of its images with NumPy's legacy generator, seeded with
    ``config.episode_seed``. Seed 0 gives the episodes of the authors' test.

    Raises:
        FileNotFoundError: If a folder, a split file or an image is missing.
        ValueError: If the split file is not valid or has no images of a class.
    """
    images = find_folder(config.root, "COCO2014/annotations", "annotations").parent
    is_test = config.split == "val"
    fold = f"coco/{_SPLIT_FOLDERS[config.split]}/fold{config.fold}"
    file = _find_split_file(config, f"{fold}.pkl", f"{fold}.txt")
    names_by_class = read_images_by_class(file, len(COCO))
    classes = [index for index in range(len(COCO)) if (index % 4 == config.fold) == is_test]
    missing = [join_words(COCO)[index] for index in classes if not names_by_class.get(index)]
    if missing:
        raise ValueError(f"{file}: expected images of every class of the fold, got none of {', '.join(missing)}")
    generator = np.random.RandomState(config.episode_seed)
    drawn = []
    for _ in range(config.episodes):
        index = int(generator.choice(classes, 1, replace=False)[0])
        drawn.append((str(generator.choice(names_by_class[index], 1, replace=False)[0]), index))
    names = [name[:-4] if name.endswith(".jpg") else name for name, _ in drawn]
    pairs = [Pair(images / f"{name}.jpg", images / "annotations" / f"{name}.png") for name in names]
    episodes = list(zip(check_pairs(pairs, file), (index for _, index in drawn)))
    return _build_episodes(episodes, classes, _class_names(config, COCO), 0)


def open_fss_1000(config: DatasetConfig) -> PairedEpisodes:
    """Open FSS-1000: every image of the 240 test or the 520 training categories.

    A pixel of a mask belongs to the category if it is at least half white.

    Raises:
        FileNotFoundError: If a folder, a split file, an image or a mask is missing.
        ValueError: If the label list is not valid.
    """
    root = find_folder(config.root, "FSS-1000", "fewshot_data", ".")
    file = _find_split_file(config, "fss/test.txt" if config.split == "val" else "fss/trn.txt")
    categories = sorted(read_lines(file))
    episodes = []
    for index, category in enumerate(categories):
        images = sorted((root / category).glob("*.jpg"))
        if not images:
            raise FileNotFoundError(f"{root / category}: expected the images of a category of {file}, got none")
        pairs = check_pairs([Pair(image, image.with_suffix(".png")) for image in images], root / category)
        episodes += [EpisodeSpec(pair, index, _read_black_and_white) for pair in pairs]
    if config.labels:
        return PairedEpisodes(read_words(config.labels, len(categories)), episodes)
    names = categories if config.names == "authors" else [category.replace("_", " ") for category in categories]
    return PairedEpisodes(tuple(names), episodes)


def _find_split_file(config: DatasetConfig, *names: str) -> Path:
    return find_split_file(Path(config.root).expanduser(), config.splits, *names)


def _build_episodes(
    episodes: Sequence[tuple[Pair, int]], classes: Sequence[int], names: Sequence[str], unlabeled: int
) -> PairedEpisodes:
    """Build episodes from masks of ids.

    Args:
        episodes: Files and class of each episode.
        classes: Indices into ``names`` of the classes that the test asks for.
        names: Names of all classes; masks hold their index plus one, and 0 for the background.
        unlabeled: Target of pixels whose id is 255.
    """
    other_ids = {**dict.fromkeys(range(len(names) + 1), 0), 255: unlabeled}
    readers = {index: target_reader({**other_ids, index + 1: 1}) for index in classes}
    positions = {index: position for position, index in enumerate(classes)}
    return PairedEpisodes(
        tuple(names[index] for index in classes),
        [EpisodeSpec(pair, positions[index], readers[index]) for pair, index in episodes],
    )


def _class_names(config: DatasetConfig, names: tuple[str, ...]) -> tuple[str, ...]:
    if config.labels:
        return read_words(config.labels, len(names))
    return join_words(names) if config.names == "authors" else names


def _read_black_and_white(path: Path) -> NDArray[np.int16]:
    return (read_gray(path) >= 128).astype(np.int16)
