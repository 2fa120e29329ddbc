"""The words that are asked for: labels, synonyms, prompts, ids, colours. Immutable; every change makes a new one."""

from __future__ import annotations

import colorsys
import dataclasses
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_ID", "UNLABELED", "Label", "Vocabulary", "slug"]

Color = tuple[int, int, int]  # RGB, 0 to 255

UNLABELED = 0  # the id of a pixel without a label
MAX_ID = 254  # 255 is never an id: Nav2 and others read it as "unknown"

# Suffixes that image and point cloud transports hang on a topic; a topic of such a name would be taken for one.
_TRANSPORTS = {"compressed", "compresseddepth", "theora", "draco", "zlib", "pcl", "zstd", "ffmpeg"}

_COLOR_CANDIDATES = 48
_FAR = 150.0  # apart: red and orange are about 260, black and white 765


@dataclasses.dataclass(frozen=True)
class Label:
    """One thing to look for: its id in the mask, the texts that mean it (the first is its name), colour and topic."""

    id: int
    synonyms: tuple[str, ...]
    color: Color
    slug: str  # the label's part of a topic name

    @property
    def name(self) -> str:
        return self.synonyms[0]

    @property
    def entry(self) -> str:
        """The label as it is written in a label list: synonyms joined by ``|``."""
        return "|".join(self.synonyms)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A label set, and the memory of those before it.

    Make the first with ``Vocabulary.of(["floor", "sofa|couch"])`` and later ones with ``replace`` or ``append``. An
    id belongs to its label's name for ever: a label that comes back gets its old id, and no other label gets it.
    ``epoch`` grows by one with each change.
    """

    labels: tuple[Label, ...]
    prompt_templates: tuple[str, ...] = ("{}",)
    epoch: int = 1
    retired: tuple[Label, ...] = ()

    @classmethod
    def of(
        cls,
        entries: Iterable[str],
        *,
        ids: Sequence[int] | None = None,
        prompt_templates: Sequence[str] = ("{}",),
        colors: Mapping[str, Color] | None = None,
    ) -> Vocabulary:
        """The first vocabulary of a node.

        entries: texts, ``|`` between synonyms. ids: one per entry, 1..254, or None for the next free ones.
        prompt_templates: each with one ``{}`` where the text goes. colors: RGB by label name, instead of the colour
        that follows from the name. Raises ValueError that names the item and what was expected of it.
        """
        return cls((), _checked_templates(prompt_templates), epoch=0).replace(entries, ids=ids, colors=colors)

    def replace(
        self,
        entries: Iterable[str],
        *,
        ids: Sequence[int] | None = None,
        colors: Mapping[str, Color] | None = None,
    ) -> Vocabulary:
        """The next vocabulary, with these labels instead. Raises ValueError like ``of``; self is untouched."""
        texts = _parsed(entries)
        if ids is not None and len(ids) != len(texts):
            raise ValueError(f"ids: expected one per label ({len(texts)}), got {len(ids)}")
        known = {label.name.casefold(): label for label in (*self.retired, *self.labels)}
        owner = {label.id: label.name for label in known.values()}
        if ids is None:
            wanted = _next_ids([name for name, *_ in texts], known)
        else:
            wanted = [_checked_id(each, name, owner) for each, (name, *_) in zip(ids, texts)]
        slugs: set[str] = set()
        used = [label.color for label in known.values()]
        labels = []
        for number, synonyms in zip(wanted, texts):
            old = known.get(synonyms[0].casefold())
            color = (colors or {}).get(synonyms[0]) or (old.color if old else color_of(synonyms[0], used))
            used.append(_checked_color(color, synonyms[0]))
            labels.append(Label(number, synonyms, used[-1], slug(synonyms[0], slugs)))
        now = {label.name.casefold() for label in labels}
        retired = tuple(label for name, label in known.items() if name not in now)
        return Vocabulary(tuple(labels), self.prompt_templates, self.epoch + 1, retired)

    def append(self, entries: Iterable[str], *, ids: Sequence[int] | None = None) -> Vocabulary:
        """The next vocabulary, with these labels added. Raises ValueError like ``of``; self is untouched."""
        added = list(entries)
        if not added:
            raise ValueError("labels: expected at least one label to append, got none")
        both = None if ids is None else [*(label.id for label in self.labels), *ids]
        colors = {label.name: label.color for label in self.labels}
        return self.replace([*(label.entry for label in self.labels), *added], ids=both, colors=colors)

    def prompts(self, label: Label) -> tuple[str, ...]:
        """Every text whose embedding is averaged into the label's: each synonym in each template."""
        return tuple(template.replace("{}", text) for text in label.synonyms for template in self.prompt_templates)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def entries(self) -> tuple[str, ...]:
        """The label list as it would be written to get this vocabulary."""
        return tuple(label.entry for label in self.labels)

    def __getitem__(self, id_or_name: int | str) -> Label:
        """The label of an id or a name; KeyError where there is none."""
        for label in self.labels:
            if id_or_name in (label.id, label.name):
                return label
        raise KeyError(id_or_name)

    def __len__(self) -> int:
        return len(self.labels)


def color_of(name: str, taken: Sequence[Color] = ()) -> Color:
    """A label's colour: the first of those that follow from its name that is far from all taken, or else the farthest.

    They are a golden section apart in hue, in turn strong, pale and dark.
    """
    bits = zlib.crc32(name.casefold().encode())
    candidates = []
    for number in range(_COLOR_CANDIDATES):
        hue = ((bits & 0xFFFF) / 0x10000 + number * 0.618034) % 1.0
        saturation, value = ((0.95, 0.95), (0.55, 1.0), (0.9, 0.6))[((bits >> 16) + number) % 3]
        red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
        candidates.append((red, green, blue))
    if not taken:
        return candidates[0]
    nearest = _distances(np.array(candidates), np.array(taken)).min(axis=1)
    far = np.flatnonzero(nearest >= _FAR)
    return candidates[int(far[0] if len(far) else nearest.argmax())]


def _distances(colors: NDArray[np.int_], others: NDArray[np.int_]) -> NDArray[np.float64]:
    """(N, 3) and (M, 3) RGB -> (N, M), how different they look: Euclidean, weighted by the mean red ("redmean")."""
    red, green, blue = np.moveaxis(colors[:, None] - others, -1, 0).astype(float)
    mean_red = (colors[:, None, 0] + others[:, 0]) / 2
    squared = (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2
    return np.sqrt(squared)  # type: ignore[no-any-return]


def slug(name: str, taken: set[str] | None = None) -> str:
    """A label's name as part of a topic: ``[a-z0-9_]``, no leading digit, no transport's name, not in ``taken``.

    The result is added to ``taken``.
    """
    taken = set() if taken is None else taken
    base = re.sub(r"[^a-z0-9]+", "_", name.casefold())[:64].strip("_") or "label"  # DDS ends topics at 255 characters
    if base[0].isdigit() or base in _TRANSPORTS:
        base = f"label_{base}"
    candidate, number = base, 2
    while candidate in taken:
        candidate, number = f"{base}_{number}", number + 1
    taken.add(candidate)
    return candidate


def _parsed(entries: Iterable[str]) -> list[tuple[str, ...]]:
    """Label list -> stripped synonyms per label; raises ValueError naming the first item that cannot be a label."""
    if isinstance(entries, str):
        raise ValueError(f"labels: expected a list of texts, got the single text {entries!r}")
    parsed: list[tuple[str, ...]] = []
    seen: dict[str, str] = {}  # case-folded text -> the entry it stands in
    for position, entry in enumerate(entries):
        if not isinstance(entry, str):
            raise ValueError(f"labels[{position}]: expected a text, got {entry!r}")
        synonyms = tuple(text.strip() for text in entry.split("|"))
        for text in synonyms:
            if not text:
                raise ValueError(f"labels[{position}]: expected a word, got a blank in {entry!r}")
            if any(not character.isprintable() for character in text):
                raise ValueError(f"labels[{position}]: expected printable characters, got {text!r}")
            if text.casefold() in seen:
                raise ValueError(f"labels[{position}]: {text!r} is there twice (also in {seen[text.casefold()]!r})")
            seen[text.casefold()] = entry
        parsed.append(synonyms)
    if not parsed:
        raise ValueError("labels: expected at least one label, got an empty list")
    if len(parsed) > MAX_ID:
        raise ValueError(f"labels: expected at most {MAX_ID}, got {len(parsed)}")
    return parsed


def _next_ids(names: Sequence[str], known: Mapping[str, Label]) -> list[int]:
    """An id per name: its own where it has one, else the lowest that was never given out; ValueError where none is."""
    given = {label.id for label in known.values()}
    fresh = iter([number for number in range(1, MAX_ID + 1) if number not in given])
    ids = []
    for name in names:
        old = known.get(name.casefold())
        number = old.id if old else next(fresh, None)
        if number is None:
            raise ValueError(
                f"labels: all {MAX_ID} ids have been given out and an id is never given to another label; "
                f"restart the node to start afresh (no id left for {name!r})"
            )
        ids.append(number)
    return ids


def _checked_id(number: int, name: str, owner: dict[int, str]) -> int:
    """``number`` for ``name``, entered into ``owner``; ValueError where it is out of range or another's."""
    if not 1 <= number <= MAX_ID:
        raise ValueError(f"id of {name!r}: expected 1 to {MAX_ID}, got {number}")
    previous = owner.setdefault(int(number), name)
    if previous.casefold() != name.casefold():
        raise ValueError(f"id of {name!r}: {number} belongs to {previous!r} and is never given to another label")
    held = next((each for each, label in owner.items() if label.casefold() == name.casefold() and each != number), None)
    if held is not None:
        raise ValueError(f"id of {name!r}: it has been {held} since it was first used and cannot become {number}")
    return int(number)


def _checked_color(color: Sequence[int], name: str) -> Color:
    if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
        raise ValueError(f"color of {name!r}: expected red, green and blue from 0 to 255, got {tuple(color)}")
    red, green, blue = (int(channel) for channel in color)
    return red, green, blue


def _checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    if not templates:
        raise ValueError("prompt_templates: expected at least one, such as '{}', got an empty list")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"prompt_templates: expected exactly one {{}} in each, got {template!r}")
    return tuple(templates)
