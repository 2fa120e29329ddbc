"""The words that are asked for: labels, synonyms, prompts, ids, colors. Immutable; every change makes a new one."""

from __future__ import annotations

import colorsys
import dataclasses
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_ID",
    "UNLABELED",
    "Color",
    "Label",
    "Vocabulary",
    "parse_color",
    "parse_synonyms",
    "pick_color",
    "slug",
]

UNLABELED = 0  # the id of a pixel without a label
MAX_ID = 254  # 255 is never an id: Nav2 and others read it as "unknown"

# Suffixes that image and point cloud transports hang on a topic; a topic of such a name would be taken for one.
_TRANSPORTS = {"compressed", "compresseddepth", "theora", "draco", "zlib", "pcl", "zstd", "ffmpeg"}

Color = tuple[int, int, int]  # RGB, 0 to 255

# Saturation and value of a label's color: strong, pale and dark, and where those have been taken, what lies between.
_TONES = (
    ((0.95, 0.95), (0.55, 1.0), (0.9, 0.6)),
    ((0.3, 0.95), (0.95, 0.78), (0.6, 0.75)),
    ((0.55, 0.5), (0.95, 0.4), (0.25, 0.7)),
    ((0.75, 0.95), (0.75, 0.6), (0.15, 0.9)),
)
_HUES = 48  # for each of the four
_SUFFICIENT_DISTANCE = 150.0  # apart: red and orange are about 260, black and white 765


@dataclasses.dataclass(frozen=True)
class Label:
    """One thing to look for: its id in the mask, the texts that mean it (the first is its name), color and topic."""

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

    Make the first with ``Vocabulary.of(["floor", "sofa|couch"])`` and later ones with ``replace`` or ``append``. Id,
    slug and color belong to a label's name for ever: one that comes back gets its own, and no other label gets its id
    or its slug. ``epoch`` grows by one with each change.
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
        colors: Sequence[str] | None = None,
    ) -> Vocabulary:
        """The first vocabulary of a node.

        entries: texts, ``|`` between synonyms. ids: one per entry, 1..254, or None for the next free ones.
        prompt_templates: each with one ``{}`` where the text goes. colors: one per entry, ``#rrggbb``, or ``""`` for
        the one that the label has or that follows from its name; None for that in all. Raises ValueError that names
        the item and what was expected of it.
        """
        return cls((), _checked_templates(prompt_templates), epoch=0).replace(entries, ids=ids, colors=colors)

    def replace(
        self,
        entries: Iterable[str],
        *,
        ids: Sequence[int] | None = None,
        colors: Sequence[str] | None = None,
    ) -> Vocabulary:
        """The next vocabulary, with these labels instead. Raises ValueError like ``of``; self is untouched."""
        texts = _parse_entries(entries)
        _check_one_per_label("ids", ids, texts)
        _check_one_per_label("colors", colors, texts)
        known = {label.name.casefold(): label for label in (*self.retired, *self.labels)}
        owner = {label.id: label.name for label in known.values()}
        names = [synonyms[0] for synonyms in texts]
        if ids is None:
            wanted = _assign_ids(names, known)
        else:
            wanted = [_checked_id(number, name, owner) for number, name in zip(ids, names)]
        slugs = _assign_slugs(names, known)
        parts = zip(wanted, texts, _assign_colors(names, colors, known), slugs)
        labels = tuple(Label(number, synonyms, color, part) for number, synonyms, color, part in parts)
        now = {name.casefold() for name in names}
        retired = tuple(label for name, label in known.items() if name not in now)
        return Vocabulary(labels, self.prompt_templates, self.epoch + 1, retired)

    def append(
        self,
        entries: Iterable[str],
        *,
        ids: Sequence[int] | None = None,
        colors: Sequence[str] | None = None,
    ) -> Vocabulary:
        """The next vocabulary, with these labels added. Raises ValueError like ``of``; self is untouched."""
        added = list(entries)
        if not added:
            raise ValueError("labels: expected at least one label to append, got none")
        _check_one_per_label("ids", ids, added)
        _check_one_per_label("colors", colors, added)
        all_ids = None if ids is None else [*(label.id for label in self.labels), *ids]
        all_colors = None if colors is None else [*([""] * len(self)), *colors]
        return self.replace([*self.entries, *added], ids=all_ids, colors=all_colors)

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


def parse_synonyms(entry: str, where: str) -> tuple[str, ...]:
    """An entry of a label list, ``|`` between synonyms -> its texts, stripped; ValueError, beginning with ``where``."""
    if not isinstance(entry, str):
        raise ValueError(f"{where}: expected a text, got {entry!r}")
    synonyms = tuple(text.strip() for text in entry.split("|"))
    for position, text in enumerate(synonyms):
        if not text:
            raise ValueError(f"{where}: expected a word, got a blank in {entry!r}")
        if any(not character.isprintable() for character in text):
            raise ValueError(f"{where}: expected printable characters, got {text!r}")
        if text.casefold() in (earlier.casefold() for earlier in synonyms[:position]):
            raise ValueError(f"{where}: expected every text once, got {text!r} twice (in {entry!r})")
    return synonyms


def pick_color(name: str, taken: Sequence[Color] = ()) -> Color:
    """A label's color: the first of those that follow from its name that is far from all taken, or else the farthest.

    They are a golden section apart in hue.
    """
    bits = zlib.crc32(name.casefold().encode())
    candidates = []
    for number, tones in ((number, tones) for tones in _TONES for number in range(_HUES)):
        hue = ((bits & 0xFFFF) / 0x10000 + number * 0.618034) % 1.0
        saturation, value = tones[((bits >> 16) + number) % 3]
        red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
        candidates.append((red, green, blue))
    if not taken:
        return candidates[0]
    nearest = _color_distances(np.array(candidates), np.array(taken)).min(axis=1)
    far = np.flatnonzero(nearest >= _SUFFICIENT_DISTANCE)
    return candidates[int(far[0] if len(far) else nearest.argmax())]


def parse_color(text: str, name: str) -> Color | None:
    """``#rrggbb`` -> RGB, ``""`` -> None; ValueError naming the label otherwise."""
    if text == "":
        return None
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(f"color of {name!r}: expected '#rrggbb' or '' for an automatic one, got {text!r}")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _parse_entries(entries: Iterable[str]) -> list[tuple[str, ...]]:
    """Label list -> stripped synonyms per label; raises ValueError naming the first item that cannot be a label."""
    if isinstance(entries, str):
        raise ValueError(f"labels: expected a list of texts, got the single text {entries!r}")
    parsed: list[tuple[str, ...]] = []
    seen: dict[str, str] = {}  # case-folded text -> the entry it stands in
    for position, entry in enumerate(entries):
        synonyms = parse_synonyms(entry, f"labels[{position}]")
        for text in synonyms:
            if (earlier := seen.get(text.casefold())) is not None:
                raise ValueError(
                    f"labels[{position}]: expected every text once, got {text!r} twice (also in {earlier!r})"
                )
        seen.update((text.casefold(), entry) for text in synonyms)
        parsed.append(synonyms)
    if not parsed:
        raise ValueError("labels: expected at least one label, got an empty list")
    if len(parsed) > MAX_ID:
        raise ValueError(f"labels: expected at most {MAX_ID}, got {len(parsed)}")
    return parsed


def _check_one_per_label(name: str, values: Sequence[object] | None, labels: Sequence[object]) -> None:
    if values is not None and len(values) != len(labels):
        raise ValueError(f"{name}: expected one per label ({len(labels)}), got {len(values)}")


def _assign_ids(names: Sequence[str], known: Mapping[str, Label]) -> list[int]:
    """An id per name: its own where it has one, else the lowest that was never given out; ValueError where none is."""
    given = {label.id for label in known.values()}
    fresh = iter([number for number in range(1, MAX_ID + 1) if number not in given])
    ids = []
    for name in names:
        old = known.get(name.casefold())
        number = old.id if old else next(fresh, None)
        if number is None:
            raise ValueError(
                f"labels: expected at most {MAX_ID} different names while the node runs, got one more, {name!r}; "
                f"ids are never reused, restart the node to free them"
            )
        ids.append(number)
    return ids


def _assign_slugs(names: Sequence[str], known: Mapping[str, Label]) -> list[str]:
    """A slug per name: its own where it has one, else one that no label ever had."""
    taken = {label.slug for label in known.values()}
    olds = (known.get(name.casefold()) for name in names)
    return [old.slug if old else slug(name, taken) for name, old in zip(names, olds)]


def _checked_id(number: int, name: str, owner: dict[int, str]) -> int:
    """``number`` for ``name``, entered into ``owner``; ValueError where it is out of range or another's."""
    if not 1 <= number <= MAX_ID:
        raise ValueError(f"id of {name!r}: expected 1 to {MAX_ID}, got {number}")
    previous = owner.setdefault(int(number), name)
    if previous.casefold() != name.casefold():
        raise ValueError(f"id of {name!r}: expected an unused id, got {number}, which belongs to {previous!r}")
    held = next((id_ for id_, label in owner.items() if label.casefold() == name.casefold() and id_ != number), None)
    if held is not None:
        raise ValueError(f"id of {name!r}: expected {held}, its id since it was first used, got {number}")
    return int(number)


def _assign_colors(names: Sequence[str], wanted: Sequence[str] | None, known: Mapping[str, Label]) -> list[Color]:
    """A color per name: the one wanted, else the one it has, else one that follows from it, far from all others."""
    chosen = [parse_color(text, name) for text, name in zip(wanted or [""] * len(names), names)]
    used = [label.color for label in known.values()] + [color for color in chosen if color]
    colors = []
    for name, color in zip(names, chosen):
        if color is None:
            old = known.get(name.casefold())
            color = old.color if old else pick_color(name, used)
            used.append(color)
        colors.append(color)
    return colors


def _checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    if not templates:
        raise ValueError("prompt_templates: expected at least one, such as '{}', got an empty list")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"prompt_templates: expected exactly one {{}} in each, got {template!r}")
        if not template.isprintable():
            raise ValueError(f"prompt_templates: expected printable characters, got {template!r}")
    return tuple(templates)


def _color_distances(colors: NDArray[np.int_], others: NDArray[np.int_]) -> NDArray[np.float64]:
    """(N, 3) and (M, 3) RGB -> (N, M), how different they look: Euclidean, weighted by the mean red ("redmean")."""
    red, green, blue = np.moveaxis(colors[:, None] - others, -1, 0).astype(float)
    mean_red = (colors[:, None, 0] + others[:, 0]) / 2
    squared = (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2
    return np.sqrt(squared)  # type: ignore[no-any-return]
