"""What an image is asked in training: all words of its set, or a set drawn for it, with synonyms and distractors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.datasets import IGNORE
from lseg_ros.datasets.files import read_lines
from lseg_ros.evaluation.tasks import OTHERS
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import parse_synonyms

__all__ = ["LabelPrompt", "LabelSampler", "LabelSamplerConfig"]

_PRESENT = 0.85  # share of the words in view that a drawn set asks for; pixels of the others do not count
_COLORED = 0.5  # share of the classes in view whose colors are asked for, where colors are


@dataclass(frozen=True)
class LabelSamplerConfig:
    """Which words an image is asked with."""

    complete_share: float = setting(
        0.5,
        "share of images asked with every word; those that no share is for are asked with a set drawn for them",
        minimum=0.0,
        maximum=1.0,
    )
    color_share: float = setting(
        0.0,
        "share of images asked with words of colors ('red ball'), where the set has them",
        minimum=0.0,
        maximum=1.0,
    )
    others_share: float = setting(
        0.0, "share of images asked with one word and 'others', as zero-shot tests ask", minimum=0.0, maximum=1.0
    )
    synonyms: str = setting("", "file of synonyms, a line 'sofa|couch|settee' each, for drawn sets")
    distractors: str = setting("", "file of words that are nowhere in the data set, one per line, for drawn sets")
    max_distractors: int = setting(16, "of them in one set, at most", minimum=0)
    prompts_per_image: int = setting(1, "each image is asked at once, no two in the same way", minimum=1, maximum=4)

    def __post_init__(self) -> None:
        check(self)
        if self.complete_share + self.color_share + self.others_share > 1.0 + 1e-9:
            raise ValueError(
                "complete_share, color_share, others_share: expected shares that are 1 together at most, got "
                f"{self.complete_share}, {self.color_share} and {self.others_share}"
            )
        if self.prompts_per_image > (ways := np.count_nonzero(self.shares)):
            raise ValueError(
                f"prompts_per_image: expected at most as many as there are ways with a share, {ways}, got "
                f"{self.prompts_per_image}"
            )

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of the ways to ask: every word, by colors, one word and others, a set drawn for the image."""
        shares = np.array([self.complete_share, self.color_share, self.others_share, 0.0])
        shares[3] = round(1.0 - shares.sum(), 9)
        return shares / shares.sum()


class LabelPrompt(NamedTuple):
    """What one image is asked. rows: (K,) int64, of the words' embeddings.

    classes: (K,) int64, the class that a word is of, of "red ball" that of "ball"; -1 for a distractor and for others.
    target_lut: (classes + 1,) int64, the place in the question of each class, IGNORE where it is not asked; IGNORE
    itself, -1, reads the last one.
    """

    text_indices: Tensor
    classes: Tensor
    target_lut: Tensor


@dataclass(frozen=True)
class LabelSampler:
    """The words of a data set. Their embeddings have a row for each class, the mean of its texts, then one per text.

    classes: label list entries. own: for each class the numbers of its texts in ``texts``. strange: those of the
    distractors. others: that of the word for whatever is not asked for. general: for each class the one that it is a
    special case of, "red ball" of "ball", or itself.
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    class_texts: tuple[tuple[int, ...], ...]
    distractors: tuple[int, ...]
    others: int
    parents: tuple[int, ...]

    @classmethod
    def from_classes(
        cls, classes: Sequence[str], config: LabelSamplerConfig, general: Sequence[int] = ()
    ) -> LabelSampler:
        """general: as of the words, empty where no class is a special case of another.

        Raises FileNotFoundError or ValueError that names a file and its line.
        """
        synonyms = [parse_synonyms(entry, f"class {index}") for index, entry in enumerate(classes)]
        for line in read_lines(Path(config.synonyms).expanduser()) if config.synonyms else ():
            group = parse_synonyms(line, config.synonyms)
            synonyms = [_merged(texts, group) for texts in synonyms]
        known = {text.casefold() for texts in synonyms for text in texts}
        listed = read_lines(Path(config.distractors).expanduser()) if config.distractors else []
        strange = [word for word in dict.fromkeys(listed) if word.casefold() not in known]
        number_of = {text: number for number, text in enumerate(dict.fromkeys(_all(synonyms, [*strange, OTHERS])))}
        return cls(
            tuple(classes),
            tuple(number_of),
            tuple(tuple(number_of[text] for text in texts) for texts in synonyms),
            tuple(number_of[word] for word in strange),
            number_of[OTHERS],
            tuple(general) or tuple(range(len(classes))),
        )

    def embeddings(self, encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
        """(classes + texts, C) of unit norm. encode: texts to (T, C) of unit norm."""
        texts = torch.cat([encode(self.texts[first : first + 128]) for first in range(0, len(self.texts), 128)])
        means = [texts[list(own)].mean(dim=0) if len(own) > 1 else texts[own[0]] for own in self.class_texts]
        return torch.cat([F.normalize(torch.stack(means), dim=-1), texts])

    def sample(
        self, present: NDArray[np.int16], config: LabelSamplerConfig, rng: np.random.Generator
    ) -> tuple[LabelPrompt, ...]:
        """As many of the ways as ``config`` has questions, by their shares.

        present: the classes in view, special cases as such.
        """
        ways = (
            self.complete,
            lambda: self.with_colors(present, rng),
            lambda: self.one_versus_others(present, rng),
            lambda: self.random_subset(present, config, rng),
        )
        chosen = rng.choice(len(ways), config.prompts_per_image, replace=False, p=config.shares)
        return tuple(ways[way]() for way in chosen.tolist())

    def complete(self, only: Sequence[int] | None = None) -> LabelPrompt:
        """Every class, or ``only`` these, each by the mean of its texts: as an evaluation asks."""
        asked = self._plain if only is None else list(only)
        return self._make_prompt(asked, asked, {index: place for place, index in enumerate(asked)})

    def with_colors(self, present: NDArray[np.int16], rng: np.random.Generator) -> LabelPrompt:
        """Every class, some of those in view by all of their special cases: "red ball", "blue ball", ... for "ball"."""
        special = [index for index in present.tolist() if self.parents[index] != index]
        split = {self.parents[index] for index in special if rng.random() < _COLORED}
        asked = [index for index, general in enumerate(self.parents) if (index != general) == (general in split)]
        classes = [self.parents[index] for index in asked]
        return self._make_prompt(asked, classes, {index: place for place, index in enumerate(asked)})

    def one_versus_others(self, present: NDArray[np.int16], rng: np.random.Generator) -> LabelPrompt:
        """One class, in four of five cases one in view, and ``others`` for all else."""
        in_view = sorted({self.parents[index] for index in present.tolist()})
        index = int(rng.choice(in_view if in_view and rng.random() < 0.8 else self._plain))
        target_lut = {each: int(each == index) for each in self._plain}
        return self._make_prompt([len(self.classes) + self.others, index], [-1, index], target_lut)

    def random_subset(
        self, present: NDArray[np.int16], config: LabelSamplerConfig, rng: np.random.Generator
    ) -> LabelPrompt:
        """Most of the classes in view, some that are not, each by one of its texts, and some distractors.

        No text is asked twice: a class that has no other shares the place of the one that took it.
        """
        count = len(self.classes)
        chance = np.where(np.equal(self.parents, range(count)), rng.random(), 0.0)
        chance[[self.parents[index] for index in present.tolist()]] = _PRESENT
        asked = rng.random(count) < chance
        asked[rng.choice(self._plain)] = True  # never an empty set
        taken: dict[int, int] = {}  # number of a text -> its place
        classes, target_lut = [], {}
        for index in np.flatnonzero(asked).tolist():
            free = [text for text in self.class_texts[index] if text not in taken]
            text = int(rng.choice(free)) if free else self.class_texts[index][0]
            if text not in taken:
                taken[text] = len(taken)
                classes.append(index)
            target_lut[index] = taken[text]
        most = min(config.max_distractors, len(self.distractors))
        strange = rng.choice(self.distractors, int(rng.integers(most + 1)), replace=False).tolist() if most else []
        rows = [count + text for text in (*taken, *strange)]
        return self._make_prompt(rows, [*classes, *[-1] * len(strange)], target_lut)

    @functools.cached_property
    def _plain(self) -> list[int]:
        """The classes that are no special case of another."""
        return [index for index, general in enumerate(self.parents) if index == general]

    def _make_prompt(self, rows: Sequence[int], classes: Sequence[int], target_lut: dict[int, int]) -> LabelPrompt:
        """A special case that has no place of its own takes that of its class."""
        places = [target_lut.get(index, target_lut.get(general, IGNORE)) for index, general in enumerate(self.parents)]
        return LabelPrompt(torch.tensor(rows), torch.tensor(classes), torch.tensor([*places, IGNORE]))


def _merged(texts: tuple[str, ...], group: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of a class with those of a group of synonyms, where they have one in common."""
    spelled = {text.casefold() for text in texts}
    if spelled.isdisjoint(text.casefold() for text in group):
        return texts
    return (*texts, *(text for text in group if text.casefold() not in spelled))


def _all(groups: Iterable[Iterable[str]], others: Iterable[str]) -> Iterable[str]:
    yield from (text for texts in groups for text in texts)
    yield from others
