"""Which texts the small text encoder is trained on, how often each, and which are kept to test it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from open_clip.tokenizer import SimpleTokenizer

from lseg_ros.training.wordnet import Word, phrases

__all__ = ["Corpus", "whole_tokens"]

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
                dict.fromkeys(whole_tokens(), 1.0),
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


def whole_tokens() -> dict[str, int]:
    """The words that are one token of CLIP's vocabulary, with its id."""
    whole = {token.removesuffix("</w>"): i for token, i in SimpleTokenizer().encoder.items() if token.endswith("</w>")}
    return {text: number for text, number in whole.items() if text.isascii() and text.isalpha() and len(text) > 1}


def _drawn(texts: Mapping[str, float], count: int, random: np.random.Generator) -> tuple[str, ...]:
    return tuple(str(text) for text in random.choice(list(texts), size=count, replace=False))


def _without(texts: Mapping[str, float], excluded: Sequence[str]) -> dict[str, float]:
    """The texts in which no excluded text stands, alone or among other words."""
    out = {text.lower() for text in excluded}

    def clear(text: str) -> bool:
        parts = text.lower().split()
        spans = (" ".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1))
        return out.isdisjoint(spans)

    return {text: weight for text, weight in texts.items() if clear(text)}


def _mixture(groups: Sequence[Mapping[str, float]], shares: Sequence[float]) -> dict[str, float]:
    """One share per text, each group taking part as ``shares`` says; a text of several groups counts in each."""
    mixed: dict[str, float] = {}
    for group, share in zip(groups, shares, strict=True):
        total = sum(group.values())
        for text, weight in group.items():
            mixed[text] = mixed.get(text, 0.0) + share * weight / total
    return mixed
