"""Compare the engines of the image encoder in the whole node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ros.latency import measure_rate

__all__ = ["ENGINES", "Engines", "measure_engines"]

ENGINES = ("torch", "onnxruntime")
_ROUNDS = 3


@dataclass(frozen=True)
class Engines:
    """The result of ``measure_engines``.

    Attributes:
        rates_hz: Masks per second in each round, by engine.
    """

    rates_hz: dict[str, list[float]]

    def median_hz(self, engine: str) -> float:
        """Return the median rate of an engine."""
        return float(np.median(self.rates_hz[engine]))


def measure_engines(budget_s: float, folder: Path, checkpoint: str = "demo") -> Engines:
    """Measure the node with each engine in turn, three times.

    In this way, other load affects all alike.

    Args:
        budget_s: Time to spend on each measurement.
        folder: Folder for logs.
        checkpoint: Preset or weights file.
    """
    rates_hz: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(_ROUNDS):
        for engine in ENGINES:
            rates_hz[engine].append(measure_rate(budget_s, folder, checkpoint, engine))
    return Engines(rates_hz)
