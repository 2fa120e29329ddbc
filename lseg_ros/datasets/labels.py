"""Label list files: which word each id of a mask stands for."""

from __future__ import annotations

import re
from pathlib import Path

from lseg_ros.datasets.files import lines_of

__all__ = ["read_label_list", "read_words"]

_NUMBERED = re.compile(r"(\d+)\s*:\s*(.*)")


def read_label_list(path: str | Path) -> dict[int, str]:
    """Id -> label list entry, ``|`` between synonyms; an empty entry stands for pixels that are not to be counted.

    Lines are either all ``entry``, whose ids count from 0, or all ``id: entry``. Blank lines and lines that begin with
    # are skipped. Raises FileNotFoundError, or ValueError that names file and line.
    """
    file = Path(path).expanduser()
    lines = [line for line in lines_of(file) if not line.startswith("#")]
    numbered = [match.groups() for line in lines if (match := _NUMBERED.fullmatch(line))]
    if not lines:
        raise ValueError(f"{file}: expected one word per line, got none")
    if not numbered:
        return dict(enumerate(lines))
    if len(numbered) < len(lines):
        plain = next(line for line in lines if not _NUMBERED.fullmatch(line))
        raise ValueError(f"{file}: expected 'id: word' in every line or in none, got {plain!r}")
    entries: dict[int, str] = {}
    for number, entry in numbered:
        if int(number) in entries:
            raise ValueError(f"{file}: expected every id once, got {number} for {entries[int(number)]!r} and {entry!r}")
        if int(number) > 0xFFFF:
            raise ValueError(f"{file}: expected ids from 0 to 65535, got {number}")
        entries[int(number)] = entry
    if not any(entries.values()):
        raise ValueError(f"{file}: expected at least one word, got only ids")
    return entries


def read_words(path: str | Path, count: int) -> tuple[str, ...]:
    """The entries of a label list for a set with ``count`` classes, whose ids are 0 up to there."""
    entries = read_label_list(path)
    if sorted(entries) != list(range(count)):
        raise ValueError(f"{path}: expected {count} words, one for each class of the data set, got {len(entries)}")
    return tuple(entries[index] for index in range(count))
