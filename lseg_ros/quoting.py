"""Texts of other programs in log lines, diagnostics and error messages.

A frame_id, an encoding or a file's metadata may contain line breaks, terminal control sequences or megabytes of text.
Written as it is, such a text could look like a line of the log that the node never wrote.
"""

from __future__ import annotations

__all__ = ["escape", "quote"]


def quote(text: str, limit: int = 60) -> str:
    """Return a text in quotes, on one line, shortened to its first ``limit`` characters."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}... ({len(text)} characters)"


def escape(text: str, limit: int = 2000) -> str:
    """Return a text on one line, without control characters, shortened to ``limit``."""
    shortened = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in shortened
    )
