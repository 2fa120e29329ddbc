"""Measure the time of calls: repeatedly, after a warm-up, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

__all__ = ["Timing", "measure", "measure_interleaved", "synchronize"]

_MIN_RUNS, _MAX_RUNS = 3, 2000
_WARM_UP_SHARE = 0.2  # of the budget


@dataclass(frozen=True)
class Timing:
    """Wall-clock time of a call.

    Attributes:
        median_ms: Median.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
        runs: Number of calls.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int

    @classmethod
    def from_seconds(cls, seconds: Sequence[float]) -> Timing:
        """Summarize the times of several calls."""
        median, p10, p90 = (float(value) * 1e3 for value in np.percentile(seconds, (50, 10, 90)))
        return cls(median, p10, p90, len(seconds))


def measure(call: Callable[[], Any], budget_s: float, device: torch.device | None = None) -> Timing:
    """Measure one call; see ``measure_interleaved``."""
    return measure_interleaved({"": call}, budget_s, device)[""]


def measure_interleaved(
    calls: Mapping[str, Callable[[], Any]], budget_s: float, device: torch.device | None = None
) -> dict[str, Timing]:
    """Measure several calls in turn, so that other load affects all of them alike.

    Args:
        calls: The calls by name.
        budget_s: Time to spend on each call, not counting the warm-up. Each call runs at least three times.
        device: A CUDA device is synchronized before and after each call; None for the CPU.

    Returns:
        The timing of each call by name.
    """
    warm_until_s = time.perf_counter() + budget_s * _WARM_UP_SHARE * len(calls)
    _run_each(calls, device)  # allocates memory and compiles code on first use
    while time.perf_counter() < warm_until_s:
        _run_each(calls, device)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    end_s = time.perf_counter() + budget_s * len(calls)
    for number in range(_MAX_RUNS):
        if number >= _MIN_RUNS and time.perf_counter() >= end_s:
            break
        for name, took_s in _run_each(calls, device).items():
            seconds[name].append(took_s)
    return {name: Timing.from_seconds(values) for name, values in seconds.items()}


def _run_each(calls: Mapping[str, Callable[[], Any]], device: torch.device | None) -> dict[str, float]:
    """Run each call once; returns seconds by name."""
    seconds = {}
    for name, call in calls.items():
        synchronize(device)
        start_s = time.perf_counter()
        call()
        synchronize(device)
        seconds[name] = time.perf_counter() - start_s
    return seconds


def synchronize(device: torch.device | None) -> None:
    """Wait until a CUDA device has finished its work; does nothing for other devices."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
