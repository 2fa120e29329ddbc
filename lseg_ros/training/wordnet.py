"""Texts to teach a small text encoder with: WordNet's words, weighted by use, and phrases made of them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ["TEMPLATES", "Word", "phrases", "words"]

# Lexicographer files (lexnames(5WN)) of what a camera can see, and how much more than other words they are trained.
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
TEMPLATES = ("{}", "a {}", "the {}", "a photo of a {}", "a picture of the {}", "an image of a {}", "{} in the room")


@dataclasses.dataclass(frozen=True)
class Word:
    """A word or compound of WordNet: how often it counts in training, and whether it names something visible."""

    text: str
    weight: float
    visible: bool


def words(folder: Path) -> tuple[Word, ...]:
    """Nouns, adjectives and verbs of a WordNet 3.0 folder (Debian: wordnet-base), sorted, without proper names.

    The weight grows with the square root of the uses that WordNet's authors counted (cntlist.rev) and is higher for
    what can be seen. Raises FileNotFoundError that names the package to install.
    """
    if not (folder / "data.noun").is_file():
        raise FileNotFoundError(f"wordnet: expected {folder}/data.noun (Debian package wordnet-base), found none")
    uses = _uses(folder / "cntlist.rev")
    found: dict[str, tuple[float, bool]] = {}
    for part in ("noun", "adj", "verb"):
        for text, lexicographer in _entries(folder / f"data.{part}"):
            if any(c.isupper() for c in text) and not text.isupper():  # a name; but TV and CD are things
                continue
            kind = _VISIBLE.get(lexicographer, 0.0)
            weight = (0.3 + min(uses[text.lower()], 100) ** 0.5) * max(kind, 0.5)
            best, visible = found.get(text, (0.0, False))
            found[text] = max(best, weight), visible or kind > 0
    return tuple(Word(text, *facts) for text, facts in sorted(found.items()))


def phrases(nouns: Mapping[str, float], count: int, generator: np.random.Generator) -> tuple[str, ...]:
    """``count`` different phrases such as "red ball", "a photo of a small wooden chair"; nouns: text -> weight."""
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


def _entries(file: Path) -> Iterator[tuple[str, int]]:
    """(word as written, number of its lexicographer file) of every synset in a data file (wndb(5WN))."""
    for line in file.read_text("latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        _, lexicographer, _, count, *rest = line.split(" ")
        for text in rest[: 2 * int(count, 16) : 2]:
            yield text.partition("(")[0].replace("_", " "), int(lexicographer)


def _uses(file: Path) -> collections.Counter[str]:
    """How often each word, in lower case, was met in the texts that WordNet's authors tagged."""
    uses: collections.Counter[str] = collections.Counter()
    for line in file.read_text("latin-1").splitlines():
        key, _, count = line.split(" ")
        uses[key.partition("%")[0].replace("_", " ")] += int(count)
    return uses
