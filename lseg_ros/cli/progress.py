"""A progress bar for the terminal."""

from __future__ import annotations

import sys
import time

__all__ = ["ProgressBar"]

_PERIOD_S = 0.2
_CLEAR_LINE = "\r\x1b[K"


class ProgressBar:
    """One line on stderr that is rewritten in place.

    Prints nothing if stderr is not a terminal.

    Args:
        title: What is counted.
        total: Number of steps.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._count = 0
        self._start_s = time.monotonic()
        self._drawn_s = -_PERIOD_S
        self._is_shown = bool(sys.stderr and sys.stderr.isatty())

    def advance(self, count: int = 1) -> None:
        """Count steps."""
        self.update(self._count + count)

    def update(self, count: int, total: int | None = None) -> None:
        """Set the number of steps that are done."""
        self._count, self._total = count, self._total if total is None else total
        now_s = time.monotonic()
        if self._is_shown and now_s - self._drawn_s >= _PERIOD_S:
            self._drawn_s = now_s
            rate = self._count / max(now_s - self._start_s, 1e-9)
            left_s = (self._total - self._count) / rate if rate else 0.0
            share = min(self._count / max(self._total, 1), 1.0)
            text = (
                f"{self._title}: {self._count}/{self._total} ({share:.0%}), {rate:.1f}/s, {max(left_s, 0):.0f} s left"
            )
            print(_CLEAR_LINE + text, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line, for example before something else is printed."""
        if self._is_shown:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
            self._drawn_s = -_PERIOD_S
