"""Scores of a language suite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SuiteScores", "mean", "ratio"]


@dataclass(frozen=True)
class SuiteScores:
    """Scores of one suite, all from 0 to 1.

    Attributes:
        suite: Name of the suite.
        scenes: Number of scenes.
        figures: Main results by name, in the order of the table.
        per_word: IoU of each word; None if no scene has a pixel of the word.
        goals: Goals by the name of the figure that should reach them.
    """

    suite: str
    scenes: int
    figures: Mapping[str, float]
    per_word: Mapping[str, float | None]
    goals: Mapping[str, float]

    def table(self) -> str:
        """Return a table with the words from best to worst, then the figures and their goals."""
        scored = {word: iou for word, iou in self.per_word.items() if iou is not None and not math.isnan(iou)}
        words = [f"{word:<36} {iou:6.3f}" for word, iou in sorted(scored.items(), key=lambda item: -item[1])]
        return "\n".join([*words, *([""] if words else []), *(self._figure_row(name) for name in self.figures)])

    def _figure_row(self, name: str) -> str:
        row, goal = f"{name:<36} {self.figures[name]:6.3f}", self.goals.get(name)
        if goal is None:
            return row
        return f"{row}  (goal {goal:.2f}: {'reached' if self.figures[name] >= goal else 'not reached'})"


def ratio(part: float, whole: float) -> float:
    """Divide two scores; 0 if the second is 0."""
    return part / whole if whole else 0.0


def mean(values: Sequence[float | None]) -> float:
    """Return the mean of the values that are not None, NaN if all are None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
