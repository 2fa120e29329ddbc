"""What an image is asked in training: all words of its set, or a set drawn for it, with synonyms and distractors."""

from __future__ import annotations

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
from lseg_ros.datasets.files import lines_of
from lseg_ros.settings import check, setting
from lseg_ros.vocabulary import synonyms_of

__all__ = ["Question", "QuestionConfig", "Words"]

_PRESENT = 0.85  # share of the words in view that a drawn set asks for; pixels of the others do not count


@dataclass(frozen=True)
class QuestionConfig:
    """Which words an image is asked with."""

    complete_share: float = setting(
        0.5, "share of images asked with every word, the others with a set drawn for them", minimum=0.0, maximum=1.0
    )
    synonyms: str = setting("", "file of synonyms, a line 'sofa|couch|settee' each, for drawn sets")
    distractors: str = setting("", "file of words that are nowhere in the data set, one per line, for drawn sets")
    most_distractors: int = setting(16, "of them in one set, at most", minimum=0)

    def __post_init__(self) -> None:
        check(self)


class Question(NamedTuple):
    """What one image is asked. rows: (K,) int64, of the words' embeddings. classes: (K,) int64, -1 for a distractor.

    place_of: (classes + 1,) int16, the place in the question of each class, IGNORE where it is not asked; IGNORE
    itself, -1, reads the last one.
    """

    rows: Tensor
    classes: Tensor
    place_of: NDArray[np.int16]


@dataclass(frozen=True)
class Words:
    """The words of a data set. Their embeddings have a row for each class, the mean of its texts, then one per text.

    classes: label list entries. own: for each class the numbers of its texts in ``texts``. strange: those of the
    distractors.
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    own: tuple[tuple[int, ...], ...]
    strange: tuple[int, ...]

    @classmethod
    def of(cls, classes: Sequence[str], config: QuestionConfig) -> Words:
        """Raises FileNotFoundError or ValueError that names a file and its line."""
        synonyms = [synonyms_of(entry, f"class {index}") for index, entry in enumerate(classes)]
        for line in lines_of(Path(config.synonyms).expanduser()) if config.synonyms else ():
            group = synonyms_of(line, config.synonyms)
            synonyms = [_merged(texts, group) for texts in synonyms]
        known = {text.casefold() for texts in synonyms for text in texts}
        listed = lines_of(Path(config.distractors).expanduser()) if config.distractors else []
        strange = [word for word in dict.fromkeys(listed) if word.casefold() not in known]
        number_of = {text: number for number, text in enumerate(dict.fromkeys(_all(synonyms, strange)))}
        return cls(
            tuple(classes),
            tuple(number_of),
            tuple(tuple(number_of[text] for text in texts) for texts in synonyms),
            tuple(number_of[word] for word in strange),
        )

    def embeddings(self, encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
        """(classes + texts, C) of unit norm. encode: texts to (T, C) of unit norm."""
        texts = torch.cat([encode(self.texts[first : first + 128]) for first in range(0, len(self.texts), 128)])
        means = [texts[list(own)].mean(dim=0) if len(own) > 1 else texts[own[0]] for own in self.own]
        return torch.cat([F.normalize(torch.stack(means), dim=-1), texts])

    def complete(self, only: Sequence[int] | None = None) -> Question:
        """Every class, or ``only`` these, each by the mean of its texts: as an evaluation asks."""
        asked = list(range(len(self.classes)) if only is None else only)
        return self._question(asked, asked, {index: place for place, index in enumerate(asked)})

    def drawn(self, present: NDArray[np.int16], config: QuestionConfig, rng: np.random.Generator) -> Question:
        """Most of the classes in view, some that are not, each by one of its texts, and some distractors.

        No text is asked twice: a class that has no other shares the place of the one that took it.
        """
        count = len(self.classes)
        chance = np.full(count, rng.random())
        chance[present] = _PRESENT
        asked = rng.random(count) < chance
        asked[rng.integers(count)] = True  # never an empty set
        taken: dict[int, int] = {}  # number of a text -> its place
        classes, place_of = [], {}
        for index in np.flatnonzero(asked).tolist():
            free = [text for text in self.own[index] if text not in taken]
            text = int(rng.choice(free)) if free else self.own[index][0]
            if text not in taken:
                taken[text] = len(taken)
                classes.append(index)
            place_of[index] = taken[text]
        most = min(config.most_distractors, len(self.strange))
        strange = rng.choice(self.strange, int(rng.integers(most + 1)), replace=False).tolist() if most else []
        rows = [count + text for text in (*taken, *strange)]
        return self._question(rows, [*classes, *[-1] * len(strange)], place_of)

    def _question(self, rows: Sequence[int], classes: Sequence[int], place_of: dict[int, int]) -> Question:
        table = np.full(len(self.classes) + 1, IGNORE, np.int16)
        table[list(place_of)] = list(place_of.values())
        return Question(torch.tensor(rows), torch.tensor(classes), table)


def _merged(texts: tuple[str, ...], group: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of a class with those of a group of synonyms, where they have one in common."""
    spelled = {text.casefold() for text in texts}
    if spelled.isdisjoint(text.casefold() for text in group):
        return texts
    return (*texts, *(text for text in group if text.casefold() not in spelled))


def _all(groups: Iterable[Iterable[str]], others: Iterable[str]) -> Iterable[str]:
    yield from (text for texts in groups for text in texts)
    yield from others
