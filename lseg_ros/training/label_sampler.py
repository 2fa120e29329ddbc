"""Label prompts: the label sets that training images are compared with."""

from __future__ import annotations

import dataclasses
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

_PRESENT_SHARE = 0.85  # share of the visible classes in a random subset; pixels of the others are ignored
_COLORED_SHARE = 0.5  # share of the visible classes that with_colors splits by color


@dataclass(frozen=True)
class LabelSamplerConfig:
    """Settings of the labels that each training image is compared with.

    There are four kinds of prompts: all labels, labels with colors, one label versus 'others', and a random subset. The
    random subset takes the share that the other kinds leave.
    """

    complete_share: float = setting(
        0.5,
        "share of prompts with all labels; prompts without a share are random subsets",
        minimum=0.0,
        maximum=1.0,
    )
    color_share: float = setting(
        0.0,
        "share of prompts with colors ('red ball'), for data sets with color labels",
        minimum=0.0,
        maximum=1.0,
    )
    others_share: float = setting(
        0.0, "share of prompts with one label and 'others', as in zero-shot evaluation", minimum=0.0, maximum=1.0
    )
    synonyms: str = setting("", "file of synonyms for random subsets, one group per line, like sofa|couch|settee")
    distractors: str = setting(
        "", "file of words for random subsets that appear in no training image, one word per line"
    )
    max_distractors: int = setting(16, "maximum number of distractors in one prompt", minimum=0)
    prompts_per_image: int = setting(1, "prompts per image, all of different kinds", minimum=1, maximum=4)

    def __post_init__(self) -> None:
        check(self)
        if self.complete_share + self.color_share + self.others_share > 1.0 + 1e-9:
            raise ValueError(
                "complete_share, color_share, others_share: expected a sum of at most 1, got "
                f"{self.complete_share}, {self.color_share} and {self.others_share}"
            )
        if self.prompts_per_image > (kinds := np.count_nonzero(self.shares)):
            raise ValueError(
                f"prompts_per_image: expected at most {kinds}, the number of prompt kinds with a share, got "
                f"{self.prompts_per_image}"
            )

    @property
    def shares(self) -> NDArray[np.float64]:
        """(4,) shares of the prompt kinds: all labels, colors, one versus others, random subset."""
        shares = np.array([self.complete_share, self.color_share, self.others_share, 0.0])
        shares[3] = round(1.0 - shares.sum(), 9)
        return shares / shares.sum()


class LabelPrompt(NamedTuple):
    """The K labels that one image is compared with.

    Attributes:
        text_indices: (K,) int64, rows of ``LabelSampler.embeddings``.
        classes: (K,) int64, class of each label; "red ball" has the class of "ball". -1 for distractors and 'others'.
        target_lut: (classes + 1,) int64, maps a class to its position in the prompt, or to IGNORE if it is not in the
            prompt. IGNORE (-1) as an index reads the last entry, which is IGNORE.
    """

    text_indices: Tensor
    classes: Tensor
    target_lut: Tensor


@dataclass(frozen=True)
class LabelSampler:
    """The labels of a training set, and how to sample prompts from them.

    Attributes:
        classes: Label list entries, which the targets index.
        texts: All texts: synonyms of the classes, distractors, 'others', and words of hints.
        class_texts: For each class, the indices of its synonyms in ``texts``.
        distractors: Indices of the distractors in ``texts``.
        others: Index of 'others' in ``texts``.
        parents: For each class, the class that it is a special case of ("ball" for "red ball"), or itself.
        mean_texts: For each class, the texts whose mean represents it, unless a synonym does.
        members: The classes that prompts are sampled from, None for all.
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    class_texts: tuple[tuple[int, ...], ...]
    distractors: tuple[int, ...]
    others: int
    parents: tuple[int, ...]
    mean_texts: tuple[tuple[int, ...], ...]
    members: tuple[int, ...] | None = None

    @classmethod
    def from_classes(
        cls,
        classes: Sequence[str],
        config: LabelSamplerConfig,
        parents: Sequence[int] = (),
        synonyms: Sequence[Sequence[str]] = (),
        words: Sequence[str] = (),
    ) -> LabelSampler:
        """Build a sampler from a label list.

        Args:
            classes: Label list entries, with synonyms separated by ``|``.
            config: Names the files of further synonyms and of distractors.
            parents: As the attribute; empty if no class is a special case of another.
            synonyms: For each class, more synonyms for random subsets only; empty if there are none.
            words: Words for ``find_texts``.

        Raises:
            FileNotFoundError: A file of the configuration does not exist.
            ValueError: A line cannot be parsed; the message names the file and the line.
        """
        means = [parse_synonyms(entry, f"class {index}") for index, entry in enumerate(classes)]
        for line in read_lines(Path(config.synonyms).expanduser()) if config.synonyms else ():
            group = parse_synonyms(line, config.synonyms)
            means = [_merge_synonyms(texts, group) for texts in means]
        all_texts = [_merge_synonyms(texts, (texts[0], *more)) for texts, more in zip(means, synonyms)] or means
        known = {text.casefold() for texts in all_texts for text in texts}
        listed = read_lines(Path(config.distractors).expanduser()) if config.distractors else []
        distractors = [word for word in dict.fromkeys(listed) if word.casefold() not in known]
        texts = dict.fromkeys(_chain(all_texts, [*distractors, OTHERS, *words]))
        text_index = {text: index for index, text in enumerate(texts)}
        return cls(
            tuple(classes),
            tuple(text_index),
            tuple(tuple(text_index[text] for text in texts) for texts in all_texts),
            tuple(text_index[word] for word in distractors),
            text_index[OTHERS],
            tuple(parents) or tuple(range(len(classes))),
            tuple(tuple(text_index[text] for text in texts) for texts in means),
        )

    def restricted_to(self, members: Iterable[int]) -> LabelSampler:
        """Return a sampler whose prompts have only some of the classes.

        Texts and indices of classes stay the same. Without any classes, it returns no prompts.
        """
        return dataclasses.replace(self, members=tuple(members))

    def find_texts(self, words: Sequence[str]) -> Tensor:
        """Find words that are among ``texts``.

        Returns:
            (words,) int64, rows of ``embeddings``.
        """
        return torch.tensor([len(self.classes) + self.texts.index(word) for word in words])

    def embeddings(self, encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
        """Encode all texts.

        Args:
            encode: Maps T texts to (T, C) embeddings of unit norm.

        Returns:
            (classes + texts, C) of unit norm: the mean of ``mean_texts`` of every class, then every text alone.
        """
        texts = torch.cat([encode(self.texts[first : first + 128]) for first in range(0, len(self.texts), 128)])
        means = [
            texts[list(indices)].mean(dim=0) if len(indices) > 1 else texts[indices[0]] for indices in self.mean_texts
        ]
        return torch.cat([F.normalize(torch.stack(means), dim=-1), texts])

    def sample(
        self, present: NDArray[np.int16], config: LabelSamplerConfig, rng: np.random.Generator
    ) -> tuple[LabelPrompt, ...]:
        """Sample the prompts of one image, all of different kinds.

        Args:
            present: Classes that are visible in the image, special cases included.
            config: Shares of the kinds, and the number of prompts.
            rng: Source of all random choices.
        """
        if not self._top_level:
            return ()
        kinds = (
            self.complete,
            lambda: self.with_colors(present, rng),
            lambda: self.one_versus_others(present, rng),
            lambda: self.random_subset(present, config, rng),
        )
        chosen = rng.choice(len(kinds), config.prompts_per_image, replace=False, p=config.shares)
        return tuple(kinds[kind]() for kind in chosen.tolist())

    def complete(self, only: Sequence[int] | None = None) -> LabelPrompt:
        """Return the prompt of an evaluation: every class, as the mean of its synonyms.

        Args:
            only: Indices of the classes to include; None for all.
        """
        indices = self._top_level if only is None else list(only)
        return self._make_prompt(indices, indices, {index: position for position, index in enumerate(indices)})

    def with_colors(self, present: NDArray[np.int16], rng: np.random.Generator) -> LabelPrompt:
        """Sample a prompt with every class, some visible ones split by color.

        A split class is replaced by all of its special cases: "ball" by "red ball", "blue ball", and so on.
        """
        special = [index for index in present.tolist() if self.parents[index] != index]
        split = {self.parents[index] for index in special if rng.random() < _COLORED_SHARE}
        indices = [index for index in self._members if (index != self.parents[index]) == (self.parents[index] in split)]
        classes = [self.parents[index] for index in indices]
        return self._make_prompt(indices, classes, {index: position for position, index in enumerate(indices)})

    def one_versus_others(self, present: NDArray[np.int16], rng: np.random.Generator) -> LabelPrompt:
        """Sample a prompt with 'others' and one class, which is visible in four of five cases."""
        visible = sorted({self.parents[index] for index in present.tolist()})
        chosen = int(rng.choice(visible if visible and rng.random() < 0.8 else self._top_level))
        positions = {index: int(index == chosen) for index in self._top_level}
        return self._make_prompt([len(self.classes) + self.others, chosen], [-1, chosen], positions)

    def random_subset(
        self, present: NDArray[np.int16], config: LabelSamplerConfig, rng: np.random.Generator
    ) -> LabelPrompt:
        """Sample a prompt with most visible classes, some others, and some distractors.

        Each class is represented by one of its synonyms. No text appears twice: a class without an unused synonym
        shares the position of the class that uses its first one.
        """
        count = len(self.classes)
        probability = np.where(np.isin(range(count), self._top_level), rng.random(), 0.0)
        probability[[self.parents[index] for index in present.tolist()]] = _PRESENT_SHARE
        chosen = rng.random(count) < probability
        chosen[rng.choice(self._top_level)] = True  # never an empty prompt
        text_positions: dict[int, int] = {}
        classes, positions = [], {}
        for index in np.flatnonzero(chosen).tolist():
            unused = [text for text in self.class_texts[index] if text not in text_positions]
            text = int(rng.choice(unused)) if unused else self.class_texts[index][0]
            if text not in text_positions:
                text_positions[text] = len(text_positions)
                classes.append(index)
            positions[index] = text_positions[text]
        most = min(config.max_distractors, len(self.distractors))
        distractors = rng.choice(self.distractors, int(rng.integers(most + 1)), replace=False).tolist() if most else []
        text_indices = [count + text for text in (*text_positions, *distractors)]
        return self._make_prompt(text_indices, [*classes, *[-1] * len(distractors)], positions)

    @functools.cached_property
    def _top_level(self) -> list[int]:
        """Indices of the classes that are not a special case of another class."""
        return [index for index in self._members if index == self.parents[index]]

    @property
    def _members(self) -> Sequence[int]:
        return range(len(self.classes)) if self.members is None else self.members

    def _make_prompt(
        self, text_indices: Sequence[int], classes: Sequence[int], positions: dict[int, int]
    ) -> LabelPrompt:
        """Build a prompt; a special case without a position takes the position of its parent."""
        lut = [positions.get(index, positions.get(parent, IGNORE)) for index, parent in enumerate(self.parents)]
        return LabelPrompt(torch.tensor(text_indices), torch.tensor(classes), torch.tensor([*lut, IGNORE]))


def _merge_synonyms(texts: tuple[str, ...], group: tuple[str, ...]) -> tuple[str, ...]:
    """Extend the synonyms of a class by a group of synonyms if they have a text in common."""
    spelled = {text.casefold() for text in texts}
    if spelled.isdisjoint(text.casefold() for text in group):
        return texts
    return (*texts, *(text for text in group if text.casefold() not in spelled))


def _chain(groups: Iterable[Iterable[str]], others: Iterable[str]) -> Iterable[str]:
    yield from (text for texts in groups for text in texts)
    yield from others
