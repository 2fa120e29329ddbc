"""Texts for the text encoder: training texts, their shares, and held-out tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lseg_ros.model.open_clip_tower import OpenClipTextEncoder
from lseg_ros.model.text_encoder import TextEncoder
from lseg_ros.training.initialization import single_token_words
from research.text_distillation.wordnet import ADJECTIVES, Word, phrases

__all__ = ["Corpus", "can_tokenize", "retrofit"]

_ADJECTIVE_WEIGHT = 0.5  # of each adjective in the target of a phrase, relative to the phrase itself
_SHARES = (0.55, 0.15, 0.30)  # of WordNet's words, of the whole words of CLIP's vocabulary, of phrases


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Texts of a distillation.

    Attributes:
        trained: Training texts with their shares.
        held_words: Test words. They occur in no training text.
        held_phrases: Test phrases. They occur in no training text.
        nouns: Nouns for visible things with their weights.
    """

    trained: Mapping[str, float]
    held_words: tuple[str, ...]
    held_phrases: tuple[str, ...]
    nouns: Mapping[str, float]

    @classmethod
    def build(
        cls,
        vocabulary: Sequence[Word],
        fits: Callable[[str], bool],
        *,
        phrase_count: int,
        held_out: int,
        random: np.random.Generator,
    ) -> Corpus:
        """Collect WordNet's words, CLIP's whole words and random phrases.

        Args:
            vocabulary: Words of WordNet.
            fits: Whether the text encoder can tokenize a text; others are left out.
            phrase_count: Number of phrases.
            held_out: Number of words, and of phrases, to hold out.
            random: Draws the phrases and the held-out texts.
        """
        nouns = {word.text: word.weight for word in vocabulary if word.visible}
        random_phrases = phrases(nouns, phrase_count, random)
        groups = [
            {text: weight for text, weight in group.items() if fits(text)}
            for group in (
                {word.text: word.weight for word in vocabulary},
                dict.fromkeys(single_token_words(), 1.0),
                dict.fromkeys(random_phrases, 1.0),
            )
        ]
        held_words = _sample(groups[0], held_out, random)
        held_phrases = _sample(_exclude(groups[2], held_words), held_out, random)
        trained = _mix([_exclude(group, (*held_words, *held_phrases)) for group in groups], _SHARES)
        return cls(trained, held_words, held_phrases, nouns)

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts without duplicates."""
        return tuple(dict.fromkeys((*self.trained, *self.held_words, *self.held_phrases, *self.nouns)))


def can_tokenize(encoder: OpenClipTextEncoder | TextEncoder, text: str) -> bool:
    """Return whether the text fits into the context of the encoder."""
    try:
        encoder.tokenize([text])
    except ValueError:
        return False
    return True


def retrofit(
    targets: Mapping[str, NDArray[np.float32]], relations: Mapping[str, Mapping[str, float]]
) -> dict[str, NDArray[np.float32]]:
    """Move the targets of words toward those of related words.

    This is one round of retrofitting (Faruqui et al., NAACL 2015); more rounds would move whole word families to one
    point. A text without relations, such as "red ball", moves like the longest word in it and toward its adjectives,
    because a sentence encoder hardly distinguishes the colors of a ball.

    Args:
        targets: (C,) embedding of unit norm of each text.
        relations: For each word the related words and their weights, relative to the word itself.
    """
    moved = {}
    for text, others in relations.items():
        related = [weight * targets[other] for other, weight in others.items() if other in targets]
        if text in targets and related:
            moved[text] = _normalize(targets[text] + sum(related))
    shift = {text: target - targets[text] for text, target in moved.items()}
    rest = {text: target for text, target in targets.items() if text not in moved}
    for text, target in rest.items():
        longest = next((span for span in _spans(text) if span in shift), None)
        adjectives = [part for part in text.split() if part in ADJECTIVES and part in targets and part != text]
        pulled = target + sum(_ADJECTIVE_WEIGHT * targets[adjective] for adjective in adjectives)
        moved[text] = _normalize(pulled if longest is None else pulled + shift[longest])
    return moved


def _normalize(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / np.linalg.norm(vector)


def _spans(text: str) -> list[str]:
    """Return all sequences of consecutive words of a text, the longest first."""
    words = text.split()
    return [
        " ".join(words[start : start + length])
        for length in range(len(words), 0, -1)
        for start in range(len(words) - length, -1, -1)
    ]


def _sample(texts: Mapping[str, float], count: int, random: np.random.Generator) -> tuple[str, ...]:
    return tuple(str(text) for text in random.choice(list(texts), size=count, replace=False))


def _exclude(texts: Mapping[str, float], excluded: Sequence[str]) -> dict[str, float]:
    """Remove the texts that contain an excluded text."""
    lower = {text.lower() for text in excluded}
    return {text: weight for text, weight in texts.items() if lower.isdisjoint(_spans(text.lower()))}


def _mix(groups: Sequence[Mapping[str, float]], shares: Sequence[float]) -> dict[str, float]:
    """Scale each group to its share and add the groups; a text may be in several groups."""
    mixed: dict[str, float] = {}
    for group, share in zip(groups, shares, strict=True):
        total = sum(group.values())
        for text, weight in group.items():
            mixed[text] = mixed.get(text, 0.0) + share * weight / total
    return mixed
