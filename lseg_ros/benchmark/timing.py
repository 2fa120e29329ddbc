"""How long a call takes: several times, after a warm-up, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = ["Timing", "measure", "measure_in_turn"]

_FEWEST, _MOST = 3, 2000
_WARM_UP = 0.2  # of the budget


@dataclass(frozen=True)
class Timing:
    """What a caller waits for, in milliseconds: median, the tenth and the ninetieth of a hundred, how often it ran."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        median, p10, p90 = (float(each) * 1e3 for each in np.percentile(seconds, (50, 10, 90)))
        return cls(median, p10, p90, len(seconds))


def measure(run: Callable[[], Any], budget_s: float, device: torch.device | None = None) -> Timing:
    """See ``measure_in_turn``."""
    return measure_in_turn({"": run}, budget_s, device)[""]


def measure_in_turn(
    runs: Mapping[str, Callable[[], Any]], budget_s: float, device: torch.device | None = None
) -> dict[str, Timing]:
    """Each run's Timing. They take turns, so that what else a machine does meets all of them alike.

    budget_s: for each of them, warm-up not counted; three turns are taken however long they are. device: a GPU is
    waited for before and after each run.
    """
    warm_until_s = time.perf_counter() + budget_s * _WARM_UP * len(runs)
    _turn(runs, device)  # what is made on first use: memory, plans, code
    while time.perf_counter() < warm_until_s:
        _turn(runs, device)
    took_s: dict[str, list[float]] = {name: [] for name in runs}
    until_s = time.perf_counter() + budget_s * len(runs)
    for number in range(_MOST):
        if number >= _FEWEST and time.perf_counter() >= until_s:
            break
        for name, seconds in _turn(runs, device).items():
            took_s[name].append(seconds)
    return {name: Timing.of(each) for name, each in took_s.items()}


def _turn(runs: Mapping[str, Callable[[], Any]], device: torch.device | None) -> dict[str, float]:
    took_s = {}
    for name, run in runs.items():
        _wait(device)
        start_s = time.perf_counter()
        run()
        _wait(device)
        took_s[name] = time.perf_counter() - start_s
    return took_s


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
