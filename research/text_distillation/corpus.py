"""Which texts the small text encoder is trained on, how often each, and which are kept to test it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lseg_ros.training.initialization import single_token_words
from research.text_distillation.wordnet import ADJECTIVES, Word, phrases

__all__ = ["Corpus", "retrofitted"]

_ADJECTIVE = 0.5  # of a phrase, beside the phrase's own weight of 1
_SHARES = (0.55, 0.15, 0.30)  # of WordNet's words, of the whole words of CLIP's vocabulary, of phrases


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Texts to train on with their shares; words and phrases that stand in none of them; visible nouns, weighted."""

    trained: Mapping[str, float]
    held_words: tuple[str, ...]
    held_phrases: tuple[str, ...]
    nouns: Mapping[str, float]

    @classmethod
    def of(
        cls,
        vocabulary: Sequence[Word],
        fits: Callable[[str], bool],
        *,
        phrase_count: int,
        held_out: int,
        random: np.random.Generator,
    ) -> Corpus:
        """Words, CLIP's own words and drawn phrases; ``fits`` says whether the encoder has room for a text."""
        nouns = {word.text: word.weight for word in vocabulary if word.visible}
        made = phrases(nouns, phrase_count, random)
        groups = [
            {text: weight for text, weight in group.items() if fits(text)}
            for group in (
                {word.text: word.weight for word in vocabulary},
                dict.fromkeys(single_token_words(), 1.0),
                dict.fromkeys(made, 1.0),
            )
        ]
        held_words = _drawn(groups[0], held_out, random)
        held_phrases = _drawn(_without(groups[2], held_words), held_out, random)
        trained = _mixture([_without(group, (*held_words, *held_phrases)) for group in groups], _SHARES)
        return cls(trained, held_words, held_phrases, nouns)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text once."""
        return tuple(dict.fromkeys((*self.trained, *self.held_words, *self.held_phrases, *self.nouns)))


def retrofitted(
    targets: Mapping[str, NDArray[np.float32]], relations: Mapping[str, Mapping[str, float]]
) -> dict[str, NDArray[np.float32]]:
    """Targets (C,) of unit norm, each word's pulled to those of its relations, by as much as they say.

    One round of retrofitting (Faruqui et al., NAACL 2015): more would draw whole families to one point. A text that
    has no relations of its own, such as "red ball", moves as the longest word in it does, and is pulled to its
    adjectives: a sentence encoder says much the same of a ball in all colors.
    """
    moved = {}
    for text, others in relations.items():
        known = [pull * targets[other] for other, pull in others.items() if other in targets]
        if text in targets and known:
            moved[text] = _unit(targets[text] + sum(known))
    shift = {text: target - targets[text] for text, target in moved.items()}
    rest = {text: target for text, target in targets.items() if text not in moved}
    for text, target in rest.items():
        longest = next((span for span in _spans(text) if span in shift), None)
        adjectives = [part for part in text.split() if part in ADJECTIVES and part in targets and part != text]
        pulled = target + sum(_ADJECTIVE * targets[adjective] for adjective in adjectives)
        moved[text] = _unit(pulled if longest is None else pulled + shift[longest])
    return moved


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / np.linalg.norm(vector)


def _spans(text: str) -> list[str]:
    """The words of a text and what stands side by side in it, the longest first."""
    parts = text.split()
    return [
        " ".join(parts[at : at + long]) for long in range(len(parts), 0, -1) for at in range(len(parts) - long, -1, -1)
    ]


def _drawn(texts: Mapping[str, float], count: int, random: np.random.Generator) -> tuple[str, ...]:
    return tuple(str(text) for text in random.choice(list(texts), size=count, replace=False))


def _without(texts: Mapping[str, float], excluded: Sequence[str]) -> dict[str, float]:
    """The texts in which no excluded text stands, alone or among other words."""
    out = {text.lower() for text in excluded}

    def clear(text: str) -> bool:
        return out.isdisjoint(_spans(text.lower()))

    return {text: weight for text, weight in texts.items() if clear(text)}


def _mixture(groups: Sequence[Mapping[str, float]], shares: Sequence[float]) -> dict[str, float]:
    """One share per text, each group taking part as ``shares`` says; a text of several groups counts in each."""
    mixed: dict[str, float] = {}
    for group, share in zip(groups, shares, strict=True):
        total = sum(group.values())
        for text, weight in group.items():
            mixed[text] = mixed.get(text, 0.0) + share * weight / total
    return mixed
