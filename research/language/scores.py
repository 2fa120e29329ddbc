"""What a suite found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SuiteScores"]


@dataclass(frozen=True)
class SuiteScores:
    """figures: what the suite is about, by name, in the order to be read. per_word: the IoU of each word asked.

    goals: the figure that is to be reached, by the name of the one that is to reach it. All are fractions of one; None
    in per_word where no scene had a pixel of the word.
    """

    suite: str
    scenes: int
    figures: Mapping[str, float]
    per_word: Mapping[str, float | None]
    goals: Mapping[str, float]

    def table(self) -> str:
        """For people: words from best to worst, then the figures with their goals."""
        seen = {word: iou for word, iou in self.per_word.items() if iou is not None and not math.isnan(iou)}
        words = [f"{word:<36} {iou:6.3f}" for word, iou in sorted(seen.items(), key=lambda item: -item[1])]
        return "\n".join([*words, *([""] if words else []), *(self._line(name) for name in self.figures)])

    def _line(self, name: str) -> str:
        line, goal = f"{name:<36} {self.figures[name]:6.3f}", self.goals.get(name)
        if goal is None:
            return line
        return f"{line}  (goal {goal:.2f}: {'reached' if self.figures[name] >= goal else 'not reached'})"
