"""The data sets of a mix as one training set."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lseg_ros.datasets import (
    IGNORE,
    LabeledImages,
    Sample,
    SyntheticScenes,
    has_val_split,
    open_dataset,
)
from lseg_ros.datasets.mix import Hint, Mix, MixEntry
from lseg_ros.datasets.pairs import RelabeledDataset
from lseg_ros.image_data import find_images
from lseg_ros.recordings import read_rgb
from lseg_ros.vocabulary import parse_synonyms

__all__ = ["MixedImages", "UnlabeledImages", "open_mix", "open_mix_validation"]

_MAX_CLASSES = 10_000  # of all sets together; targets are int16


@dataclass(frozen=True, eq=False)
class MixSet:
    """One opened data set of a mix.

    Attributes:
        name: Name of the set in the mix file.
        images: The images, without the ignored labels.
        parents: For each class, the class that it is a special case of, or itself.
        synonyms: For each class, words that random subsets may use instead.
        hints: What unlabeled pixels may show.
    """

    name: str
    images: LabeledImages
    parents: tuple[int, ...]
    synonyms: tuple[tuple[str, ...], ...]
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, eq=False)
class MixedImages:
    """Several data sets as one; their images and their classes are concatenated.

    Classes of two sets stay apart, even if they have the same name, because an image is only compared with the
    labels of that image's set.

    Attributes:
        sets: The data sets.
    """

    sets: tuple[MixSet, ...]

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """Label lists of all sets, one after the other."""
        return tuple(itertools.chain.from_iterable(part.images.classes for part in self.sets))

    @functools.cached_property
    def parents(self) -> tuple[int, ...]:
        """For each class, the class that it is a special case of, or itself."""
        pairs = zip(self.sets, self._first_classes)
        return tuple(first + parent for part, first in pairs for parent in part.parents)

    @functools.cached_property
    def synonyms(self) -> tuple[tuple[str, ...], ...]:
        """For each class, words that random subsets may use instead."""
        return tuple(itertools.chain.from_iterable(part.synonyms for part in self.sets))

    def __len__(self) -> int:
        return self._first_images[-1] + len(self.sets[-1].images)

    def __getitem__(self, index: int) -> Sample:
        number, local = self._locate(index)
        image, target = self.sets[number].images[local]
        return Sample(image, np.where(target == IGNORE, IGNORE, target + self._first_classes[number]).astype(np.int16))

    def name(self, index: int) -> str:
        """Return the name that its set gives the sample."""
        number, local = self._locate(index)
        return self.sets[number].images.name(local)

    def set_number(self, index: int) -> int:
        """Return the number of the set that an image belongs to."""
        return self._locate(index)[0]

    @property
    def class_ranges(self) -> tuple[range, ...]:
        """For each set, the indices of its classes in ``classes``."""
        ranges = zip(self._first_classes, self.sets)
        return tuple(range(first, first + len(part.images.classes)) for first, part in ranges)

    @functools.cached_property
    def _first_classes(self) -> list[int]:
        return [0, *itertools.accumulate(len(part.images.classes) for part in self.sets)][:-1]

    @functools.cached_property
    def _first_images(self) -> list[int]:
        return [0, *itertools.accumulate(len(part.images) for part in self.sets)][:-1]

    def _locate(self, index: int) -> tuple[int, int]:
        """Return the number of the set of an image, and the index of the image in the set."""
        number = bisect.bisect_right(self._first_images, index) - 1
        return number, index - self._first_images[number]


@dataclass(frozen=True, eq=False)
class UnlabeledImages:
    """A folder of images without masks: every target is IGNORE, and there are no classes.

    Attributes:
        files: The image files.
    """

    files: Sequence[Path]
    classes: tuple[str, ...] = ()

    @classmethod
    def open(cls, root: str) -> UnlabeledImages:
        """List the images below ``images/train``, ``images``, or the folder itself.

        Raises:
            FileNotFoundError: The folder does not exist.
            ValueError: There are no images.
        """
        top = Path(root)
        if not top.is_dir():
            raise FileNotFoundError(f"root: expected a folder, got {top}, which does not exist")
        folder = next(path for path in (top / "images" / "train", top / "images", top) if path.is_dir())
        files = find_images(folder, recursive=True)
        if not files:
            raise ValueError(f"root: expected images in {folder}, got none")
        return cls(files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        image = read_rgb(self.files[index])
        return Sample(image, np.full(image.shape[:2], IGNORE, np.int16))

    def name(self, index: int) -> str:
        """Return the path of the image."""
        return str(self.files[index])


def open_mix(mix: Mix) -> MixedImages:
    """Open the training images of all sets of a mix.

    Raises:
        FileNotFoundError: A file or folder is missing; the message names the mix file and the set.
        ValueError: A set cannot be used as the mix file says; the message names the mix file and the set.
    """
    images = MixedImages(tuple(_open_set(mix, entry) for entry in mix.entries))
    if not images.classes:
        raise ValueError(f"{mix.path}: sets: expected a set with labels, got only unlabeled ones")
    if len(images.classes) > _MAX_CLASSES:
        raise ValueError(f"{mix.path}: sets: expected at most {_MAX_CLASSES} labels, got {len(images.classes)}")
    return images


def open_mix_validation(mix: Mix, synthetic_seed: int, synthetic_frames: int) -> dict[str, LabeledImages]:
    """Open the val splits of the sets that are to be validated and have one.

    Args:
        mix: The data sets.
        synthetic_seed: Seed of the synthetic world for validation.
        synthetic_frames: Scenes of the synthetic world for validation.

    Returns:
        The images of each set by its name, without the ignored labels.

    Raises:
        FileNotFoundError: As for ``open_mix``.
        ValueError: As for ``open_mix``, or no set has a val split.
    """
    opened: dict[str, LabeledImages] = {}
    for entry in mix.entries:
        data = dataclasses.replace(entry.data, split="val")
        if data.dataset == "synthetic":
            data = dataclasses.replace(data, seed=synthetic_seed, frames=synthetic_frames, colors=False)
        if (
            entry.validate
            and not entry.unlabeled
            and entry.data.split == "train"
            and (data.dataset != "folder" or has_val_split(data))
        ):
            opened[entry.name] = _open_set(mix, dataclasses.replace(entry, data=data)).images
    if not opened:
        raise ValueError(f"{mix.path}: sets: expected a set with a val split, or validation_images -1, got none")
    return opened


def _open_set(mix: Mix, entry: MixEntry) -> MixSet:
    try:
        images: LabeledImages = UnlabeledImages.open(entry.data.root) if entry.unlabeled else open_dataset(entry.data)
        parents = images.general if isinstance(images, SyntheticScenes) else tuple(range(len(images.classes)))
        ignored = _find_ignored(images.classes, entry.ignore)
        if ignored:
            kept = {index for index, parent in enumerate(parents) if not ignored & {index, parent}}
            words = [word if index in kept else "" for index, word in enumerate(images.classes)]
            images = RelabeledDataset(images, tuple(words))
            parent_words = {words[index]: words[parents[index]] for index in kept}
            parents = tuple(images.classes.index(parent_words[word]) for word in images.classes)
        if not images.classes and not entry.unlabeled:
            raise ValueError("ignore: expected at least one label that is not ignored, got none")
        synonyms = _extra_synonyms(images.classes, entry)
        return MixSet(entry.name, images, parents, synonyms, entry.hints)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{mix.path}: sets.{entry.name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{mix.path}: sets.{entry.name}: {error}") from error


def _find_ignored(classes: Sequence[str], ignore: Sequence[str]) -> set[int]:
    """Return the indices of the ignored classes, which may be named by any of their synonyms."""
    texts = [_texts(entry) for entry in classes]
    known = set().union(*texts)
    for word in ignore:
        if word.casefold() not in known:
            raise ValueError(f"ignore: expected labels of the set ({_shorten(classes)}), got {word!r}")
    ignored = {word.casefold() for word in ignore}
    return {index for index, own in enumerate(texts) if own & ignored}


def _extra_synonyms(classes: Sequence[str], entry: MixEntry) -> tuple[tuple[str, ...], ...]:
    """Return the synonyms of each class that its entry in the label list does not have."""
    texts = [_texts(text) for text in classes]
    owner = {text: index for index, own in reversed(list(enumerate(texts))) for text in own}
    extra: list[dict[str, str]] = [{} for _ in classes]
    for group in entry.synonyms:
        if not entry.synonyms_file and group[0].casefold() not in owner:
            raise ValueError(f"synonyms: expected labels of the set ({_shorten(classes)}), got {group[0]!r}")
        spelled = {text.casefold(): text for text in group}
        for own, words in zip(texts, extra):
            keys = spelled.keys() if entry.synonyms_file else {group[0].casefold()}
            if own.isdisjoint(keys):
                continue
            taken = [text for text in spelled if text in owner and text not in own]
            if taken and not entry.synonyms_file:
                raise ValueError(
                    f"synonyms.{group[0]}: expected words of no other label of the set, got {spelled[taken[0]]!r}"
                )
            words.update({key: text for key, text in spelled.items() if key not in own and key not in owner})
    return tuple(tuple(words.values()) for words in extra)


def _texts(entry: str) -> set[str]:
    return {text.casefold() for text in parse_synonyms(entry, "labels")}


def _shorten(classes: Sequence[str]) -> str:
    return ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
