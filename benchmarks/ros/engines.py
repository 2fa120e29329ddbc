"""Compare the engines of the image encoder in the whole node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.ros.latency import measure_rate

__all__ = ["ENGINES", "Engines", "measure_engines"]

ENGINES = ("torch", "onnxruntime")
_ROUNDS = 3


@dataclass(frozen=True)
class Engines:
    """The result of ``measure_engines``, by engine.

    Attributes:
        rates_hz: Masks per second in each round.
        cpu_ms: CPU time of the node per mask in each round. Other load affects it less than the rate.
    """

    rates_hz: dict[str, list[float]]
    cpu_ms: dict[str, list[float]]


def measure_engines(budget_s: float, folder: Path, checkpoint: str = "demo") -> Engines:
    """Measure the node with each engine in turn, three times.

    In this way, other load affects all alike.

    Args:
        budget_s: Time to spend on each measurement.
        folder: Folder for logs.
        checkpoint: Preset or weights file.
    """
    result = Engines({engine: [] for engine in ENGINES}, {engine: [] for engine in ENGINES})
    for _ in range(_ROUNDS):
        for engine in ENGINES:
            rate_hz, cpu_ms = measure_rate(budget_s, folder, checkpoint, engine)
            result.rates_hz[engine].append(rate_hz)
            result.cpu_ms[engine].append(cpu_ms)
    return result
