"""Words of WordNet with weights and relations, and phrases made of them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["ADJECTIVES", "TEMPLATES", "Word", "hypernyms", "phrases", "relations", "words"]

# Lexicographer files (lexnames(5WN)) of visible things, and the factor by which they are trained more than other words.
_VISIBLE = {5: 2.0, 6: 4.0, 8: 2.0, 13: 2.0, 17: 2.0, 18: 2.0, 20: 1.0, 27: 1.0}  # animal, artifact, body, food, ...
_COLORS = (
    "red orange yellow green blue purple pink brown black white gray grey beige golden silver cyan turquoise "
    "magenta violet maroon olive navy"
)
_KINDS = (
    "wooden metal plastic glass leather stone paper cotton ceramic steel brick concrete rubber knitted "
    "big small large tiny little long short tall round square thin thick old new young empty full open closed broken "
    "dirty clean wet dry dark light bright colorful striped spotted shiny soft furry fluffy smooth folding heavy"
)
ADJECTIVES = frozenset(f"{_COLORS} {_KINDS}".split())
TEMPLATES = ("{}", "a {}", "the {}", "a photo of a {}", "a picture of the {}", "an image of a {}", "{} in the room")
_SYNONYM_WEIGHT, _HYPERNYM_WEIGHT = 1.5, 0.5  # sums over the synonyms and over the hypernyms of a word


@dataclasses.dataclass(frozen=True)
class Word:
    """A word or compound of WordNet.

    Attributes:
        text: The word.
        weight: Weight in training.
        visible: Whether it names something visible.
    """

    text: str
    weight: float
    visible: bool


def words(folder: Path) -> tuple[Word, ...]:
    """Read the nouns, adjectives and verbs of WordNet 3.0, sorted, without proper names.

    The weight grows with the square root of the uses that WordNet's authors counted (cntlist.rev) and is higher for
    visible things.

    Raises:
        FileNotFoundError: If the folder is not WordNet; the message names the package to install.
    """
    if not (folder / "data.noun").is_file():
        raise FileNotFoundError(f"wordnet: expected {folder}/data.noun (Debian package wordnet-base), found none")
    uses: collections.Counter[str] = collections.Counter()
    for key, count in _uses(folder / "cntlist.rev").items():
        uses[key.partition("%")[0].replace("_", " ")] += count
    found: dict[str, tuple[float, bool]] = {}
    synsets = (synset for part in ("noun", "adj", "verb") for synset in _synsets(folder / f"data.{part}"))
    for synset in synsets:
        factor = _VISIBLE.get(synset.lexicographer, 0.0)
        for text in synset.texts:
            if any(c.isupper() for c in text) and not text.isupper():  # a name; TV and CD are not
                continue
            weight = ((1.0 if factor else 0.3) + min(uses[text.lower()], 100) ** 0.5) * max(factor, 0.5)
            best, visible = found.get(text, (0.0, False))
            found[text] = max(best, weight), visible or factor > 0
    return tuple(Word(text, *facts) for text, facts in sorted(found.items()))


def relations(folder: Path) -> dict[str, dict[str, float]]:
    """Return the related words of each noun and their weights.

    Weights are relative to the noun's own weight of 1. Related words are synonyms and the first hypernym. Each sense of
    the noun is weighted by the uses that WordNet's authors tagged, with a higher weight for visible things; each
    related word is weighted by its uses in all senses.
    """
    uses_by_sense = _uses(folder / "cntlist.rev")
    synsets = {synset.offset: synset for synset in _synsets(folder / "data.noun")}
    senses: dict[str, list[tuple[float, _Synset]]] = collections.defaultdict(list)
    for synset in synsets.values():
        for text, number in zip(synset.texts, synset.numbers):
            uses = uses_by_sense[f"{text.lower().replace(' ', '_')}%1:{synset.lexicographer:02}:{number:02}::"]
            senses[text].append(((0.3 + uses**0.5) * max(_VISIBLE.get(synset.lexicographer, 0.0), 0.2), synset))
    total = {text: sum(weight for weight, _ in found) for text, found in senses.items()}

    def distribute(texts: Iterable[str], pull: float) -> dict[str, float]:
        weights = {text: total[text] for text in texts}
        return {text: pull * weight / sum(weights.values()) for text, weight in weights.items()}

    found = {}
    for text, meanings in senses.items():
        others: dict[str, float] = collections.defaultdict(float)
        for weight, synset in meanings:
            share = weight / total[text]
            synonyms = distribute([word for word in synset.texts if word != text], _SYNONYM_WEIGHT * share)
            hypernym = synsets[synset.hypernym].texts if synset.hypernym in synsets else ()
            hypernyms = distribute(hypernym, _HYPERNYM_WEIGHT * share)
            for other, pull in (*synonyms.items(), *hypernyms.items()):
                others[other] += pull
        others.pop(text, None)
        found[text] = dict(others)
    return found


def hypernyms(folder: Path, offsets: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the words of the first hypernym of each noun synset, the most used ones first.

    Args:
        folder: Folder of WordNet 3.0.
        offsets: Offsets of the synsets in data.noun, of 8 digits.
    """
    synsets = {synset.offset: synset for synset in _synsets(folder / "data.noun")}
    return [synsets[synsets[offset].hypernym].texts for offset in offsets]


def phrases(nouns: Mapping[str, float], count: int, generator: np.random.Generator) -> tuple[str, ...]:
    """Draw different phrases with weighted nouns, such as "a photo of a small wooden chair"."""
    texts: dict[str, None] = {}
    names = list(nouns)
    share = np.array([nouns[name] for name in names])
    while len(texts) < count:
        drawn = generator.choice(len(names), size=count, p=share / share.sum())
        for noun, random in zip(drawn, generator.random((count, 5)), strict=True):
            template = TEMPLATES[0] if random[0] < 0.6 else _pick(TEMPLATES, random[1])
            color = _pick(_COLORS.split(), random[2]) if random[3] < 0.6 else ""
            kind = _pick(_KINDS.split(), random[4]) if random[3] > 0.5 else ""
            texts[template.format(" ".join(part for part in (kind, color, names[noun]) if part))] = None
    return tuple(texts)[:count]


def _pick(choices: Sequence[str], random: float) -> str:
    return choices[int(random * len(choices))]


class _Synset(NamedTuple):
    offset: str
    lexicographer: int  # number of the lexicographer file
    texts: tuple[str, ...]  # words
    numbers: tuple[int, ...]  # lex_id of each word in the lexicographer file
    hypernym: str  # offset of the first hypernym; empty if the synset has none


def _synsets(file: Path) -> Iterator[_Synset]:
    """Read the synsets of a data file (wndb(5WN))."""
    for line in file.read_text("latin-1").splitlines():
        if line.startswith("  "):  # the license
            continue
        offset, lexicographer, _, count, *rest = line.partition(" | ")[0].split(" ")
        words = 2 * int(count, 16)
        texts = tuple(text.partition("(")[0].replace("_", " ") for text in rest[:words:2])
        numbers = tuple(int(number, 16) for number in rest[1:words:2])
        pointers = rest[words + 1 :]
        hypernym = next((pointers[at + 1] for at, symbol in enumerate(pointers) if symbol == "@"), "")
        yield _Synset(offset, int(lexicographer), texts, numbers, hypernym)


def _uses(file: Path) -> collections.Counter[str]:
    """Read how often WordNet's authors tagged each sense: {"dog%1:05:00::": 42}."""
    lines = (line.split(" ") for line in file.read_text("latin-1").splitlines())
    return collections.Counter({key: int(count) for key, _, count in lines})
