"""Label sets: labels with their synonyms, ids, colors and topic names.

A vocabulary is immutable. Every change creates a new one.
"""

from __future__ import annotations

import colorsys
import dataclasses
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_ID",
    "MAX_TEXT_LENGTH",
    "UNLABELED",
    "Color",
    "Label",
    "Vocabulary",
    "parse_color",
    "parse_synonyms",
    "pick_color",
    "slug",
]

UNLABELED = 0  # the id of pixels without a label
MAX_ID = 254  # 255 is not used: Nav2 and others interpret it as "unknown"

MAX_TEXT_LENGTH = 1000  # characters of a label or query with all its synonyms; the network reads at most 77 tokens each

# Suffixes that image and point cloud transports append to a topic. A label topic with such a name would be mistaken for
# one.
_TRANSPORTS = {"compressed", "compresseddepth", "theora", "draco", "zlib", "pcl", "zstd", "ffmpeg"}

Color = tuple[int, int, int]  # RGB, 0 to 255

# Saturation and value of label colors: strong, pale and dark ones first, then intermediate ones.
_TONES = (
    ((0.95, 0.95), (0.55, 1.0), (0.9, 0.6)),
    ((0.3, 0.95), (0.95, 0.78), (0.6, 0.75)),
    ((0.55, 0.5), (0.95, 0.4), (0.25, 0.7)),
    ((0.75, 0.95), (0.75, 0.6), (0.15, 0.9)),
)
_HUES = 48  # per group of tones
_SUFFICIENT_DISTANCE = 150.0  # red and orange differ by about 260, black and white by 765


@dataclasses.dataclass(frozen=True)
class Label:
    """One label.

    Attributes:
        id: The label's value in the mask, 1 to 254.
        synonyms: Texts that describe the label. The first one is its name.
        color: RGB, 0 to 255.
        slug: The label's part of a topic name.
    """

    id: int
    synonyms: tuple[str, ...]
    color: Color
    slug: str

    @property
    def name(self) -> str:
        """The first synonym."""
        return self.synonyms[0]

    @property
    def entry(self) -> str:
        """The label as written in a label list: synonyms joined by ``|``."""
        return "|".join(self.synonyms)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A label set, including the labels that were removed from it.

    Create the first one with ``Vocabulary.of(["floor", "sofa|couch"])`` and later ones with ``replace`` or ``append``.
    Id, slug and color are bound to the label's name: a label that returns gets the same ones again, and no other label
    gets its id or slug.

    Attributes:
        labels: The current labels, in the order of the label list.
        prompt_templates: Texts with one ``{}`` that is replaced by each synonym.
        epoch: Number of the vocabulary. Every change increments it by one.
        retired: Labels of earlier epochs.
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
        """Create the first vocabulary.

        Args:
            entries: Texts with ``|`` between synonyms.
            ids: One per entry, 1 to 254, or None to assign the next free ids.
            prompt_templates: Texts with one ``{}`` for the synonym.
            colors: One per entry, ``#rrggbb``, or ``""`` for the label's previous or automatic color. None means
                ``""`` for all entries.

        Raises:
            ValueError: An argument is invalid. The message names the item and what was expected.
        """
        return cls((), _checked_templates(prompt_templates), epoch=0).replace(entries, ids=ids, colors=colors)

    def replace(
        self,
        entries: Iterable[str],
        *,
        ids: Sequence[int] | None = None,
        colors: Sequence[str] | None = None,
    ) -> Vocabulary:
        """Return the next vocabulary, which has these labels instead.

        The arguments and errors are those of ``of``.
        """
        texts = _parse_entries(entries)
        _check_one_per_label("ids", ids, texts)
        _check_one_per_label("colors", colors, texts)
        known = {label.name.casefold(): label for label in (*self.retired, *self.labels)}
        owner = {label.id: label.name for label in known.values()}
        names = [synonyms[0] for synonyms in texts]
        if ids is None:
            numbers = _assign_ids(names, known)
        else:
            numbers = [_checked_id(number, name, owner) for number, name in zip(ids, names)]
        slugs = _assign_slugs(names, known)
        parts = zip(numbers, texts, _assign_colors(names, colors, known), slugs)
        labels = tuple(Label(number, synonyms, color, part) for number, synonyms, color, part in parts)
        current = {name.casefold() for name in names}
        retired = tuple(label for name, label in known.items() if name not in current)
        return Vocabulary(labels, self.prompt_templates, self.epoch + 1, retired)

    def append(
        self,
        entries: Iterable[str],
        *,
        ids: Sequence[int] | None = None,
        colors: Sequence[str] | None = None,
    ) -> Vocabulary:
        """Return the next vocabulary, which has these labels added at the end.

        The arguments and errors are those of ``of``.
        """
        added = list(entries)
        if not added:
            raise ValueError("labels: expected at least one label to append, got none")
        _check_one_per_label("ids", ids, added)
        _check_one_per_label("colors", colors, added)
        all_ids = None if ids is None else [*(label.id for label in self.labels), *ids]
        all_colors = None if colors is None else [*([""] * len(self)), *colors]
        return self.replace([*self.entries, *added], ids=all_ids, colors=all_colors)

    def prompts(self, label: Label) -> tuple[str, ...]:
        """Return every synonym in every template; their embeddings are averaged."""
        return tuple(template.replace("{}", text) for text in label.synonyms for template in self.prompt_templates)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every label."""
        return tuple(label.name for label in self.labels)

    @property
    def entries(self) -> tuple[str, ...]:
        """The label list that gives this vocabulary."""
        return tuple(label.entry for label in self.labels)

    def __getitem__(self, id_or_name: int | str) -> Label:
        """Return the label with an id or a name, which is normalized to NFC.

        Raises:
            KeyError: No label has this id or name.
        """
        key = unicodedata.normalize("NFC", id_or_name) if isinstance(id_or_name, str) else id_or_name
        for label in self.labels:
            if key in (label.id, label.name):
                return label
        raise KeyError(id_or_name)

    def __len__(self) -> int:
        return len(self.labels)


def slug(name: str, taken: set[str] | None = None) -> str:
    """Convert a label's name to a part of a topic name, and add it to ``taken``.

    The result matches ``[a-z_][a-z0-9_]*``, is not the name of a transport and differs from all texts in ``taken``.
    """
    taken = set() if taken is None else taken
    # At most 64 characters, because DDS limits topic names to 255.
    base = re.sub(r"[^a-z0-9]+", "_", name.casefold())[:64].strip("_") or "label"
    if base[0].isdigit() or base in _TRANSPORTS:
        base = f"label_{base}"
    candidate, number = base, 2
    while candidate in taken:
        candidate, number = f"{base}_{number}", number + 1
    taken.add(candidate)
    return candidate


def parse_synonyms(entry: str, where: str) -> tuple[str, ...]:
    """Split an entry of a label list into its synonyms.

    Texts are normalized to NFC, so that a composed and a decomposed "é" are the same character.

    Args:
        entry: Text with ``|`` between synonyms.
        where: Name of the entry, with which error messages begin.

    Raises:
        ValueError: A synonym is blank, a duplicate or not printable, or the entry is too long.
    """
    if not isinstance(entry, str):
        raise ValueError(
            f"{where}: expected a text, got {entry!r} ({type(entry).__name__}); YAML reads words "
            "such as yes, off, nan and 12 as other types, put them in quotes"
        )
    if len(entry) > MAX_TEXT_LENGTH:
        raise ValueError(
            f"{where}: expected at most {MAX_TEXT_LENGTH} characters, got {len(entry)} ({entry[:30]!r} ...)"
        )
    synonyms = tuple(text.strip() for text in unicodedata.normalize("NFC", entry).split("|"))
    for position, text in enumerate(synonyms):
        if not text:
            raise ValueError(f"{where}: expected a word, got a blank in {entry!r}")
        if any(not character.isprintable() for character in text):
            raise ValueError(f"{where}: expected printable characters, got {text!r}")
        if text.casefold() in (earlier.casefold() for earlier in synonyms[:position]):
            raise ValueError(f"{where}: expected every text once, got {text!r} twice (in {entry!r})")
    return synonyms


def pick_color(name: str, taken: Sequence[Color] = ()) -> Color:
    """Choose the color of a label.

    The name determines a sequence of candidates. The result is the first one that differs clearly from all taken
    colors, or the most different one.
    """
    bits = zlib.crc32(name.casefold().encode())
    candidates = []
    for number, tones in ((number, tones) for tones in _TONES for number in range(_HUES)):
        # Multiples of the golden ratio spread the hues evenly.
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
    """Convert ``#rrggbb`` to RGB and ``""`` to None.

    Raises:
        ValueError: The text has another form. The message names the label.
    """
    if text == "":
        return None
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(f"color of {name!r}: expected '#rrggbb' or '' for an automatic one, got {text!r}")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _parse_entries(entries: Iterable[str]) -> list[tuple[str, ...]]:
    """Split the entries of a label list into synonyms; raise ValueError for the first bad one."""
    if isinstance(entries, str):
        raise ValueError(f"labels: expected a list of texts, got the single text {entries!r}")
    parsed: list[tuple[str, ...]] = []
    seen: dict[str, str] = {}  # case-folded text -> its entry
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
    """Raise ValueError if the number of values differs from the number of labels."""
    if values is not None and len(values) != len(labels):
        raise ValueError(f"{name}: expected one per label ({len(labels)}), got {len(values)}")


def _assign_ids(names: Sequence[str], known: Mapping[str, Label]) -> list[int]:
    """Return an id per name: its own if it has one, otherwise the lowest unused one."""
    used = {label.id for label in known.values()}
    unused = iter([number for number in range(1, MAX_ID + 1) if number not in used])
    ids = []
    for name in names:
        old = known.get(name.casefold())
        number = old.id if old else next(unused, None)
        if number is None:
            raise ValueError(
                f"labels: expected at most {MAX_ID} different names while the node runs, got one more, {name!r}; "
                f"ids are never reused, restart the node to free them"
            )
        ids.append(number)
    return ids


def _assign_slugs(names: Sequence[str], known: Mapping[str, Label]) -> list[str]:
    """Return a slug per name: its own if it has one, otherwise an unused one."""
    taken = {label.slug for label in known.values()}
    known_labels = (known.get(name.casefold()) for name in names)
    return [label.slug if label else slug(name, taken) for name, label in zip(names, known_labels)]


def _checked_id(number: int, name: str, owner: dict[int, str]) -> int:
    """Enter the id of a name into ``owner``; raise ValueError if it is out of range or taken."""
    if not 1 <= number <= MAX_ID:
        raise ValueError(f"id of {name!r}: expected 1 to {MAX_ID}, got {number}")
    previous = owner.setdefault(int(number), name)
    if previous.casefold() != name.casefold():
        raise ValueError(f"id of {name!r}: expected an unused id, got {number}, which belongs to {previous!r}")
    held = next((id_ for id_, label in owner.items() if label.casefold() == name.casefold() and id_ != number), None)
    if held is not None:
        raise ValueError(f"id of {name!r}: expected {held}, its id since it was first used, got {number}")
    return int(number)


def _assign_colors(names: Sequence[str], requested: Sequence[str] | None, known: Mapping[str, Label]) -> list[Color]:
    """Return a color per name: the requested one, its own, or a new one that differs from all."""
    chosen = [parse_color(text, name) for text, name in zip(requested or [""] * len(names), names)]
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
    """Return the templates as a tuple; raise ValueError if one is invalid."""
    if not templates:
        raise ValueError("prompt_templates: expected at least one, such as '{}', got an empty list")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"prompt_templates: expected exactly one {{}} in each, got {template!r}")
        if len(template) > MAX_TEXT_LENGTH:
            raise ValueError(f"prompt_templates: expected at most {MAX_TEXT_LENGTH} characters, got {len(template)}")
        if not template.isprintable():
            raise ValueError(f"prompt_templates: expected printable characters, got {template!r}")
    return tuple(templates)


def _color_distances(colors: NDArray[np.int_], others: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the perceived differences between colors.

    Euclidean distance in RGB, weighted by the mean red ("redmean", https://www.compuphase.com/cmetric.htm).

    Args:
        colors: (N, 3) RGB.
        others: (M, 3) RGB.

    Returns:
        (N, M) distances.
    """
    red, green, blue = np.moveaxis(colors[:, None] - others, -1, 0).astype(float)
    mean_red = (colors[:, None, 0] + others[:, 0]) / 2
    squared = (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2
    return np.sqrt(squared)  # type: ignore[no-any-return]
