"""Time measurement of the benchmark."""

from __future__ import annotations

import functools
import time

import pytest

from lseg_ros.benchmark import Timing, measure, measure_interleaved


def test_runs_a_long_call_three_times_even_if_the_budget_is_small() -> None:
    calls = []

    def call() -> None:
        time.sleep(0.02)
        calls.append(1)

    timing = measure(call, 0.001)
    assert timing.runs == 3 and len(calls) >= 4  # one more to warm up
    assert timing.median_ms >= 20


def test_runs_several_calls_in_turn() -> None:
    order: list[str] = []
    timings = measure_interleaved({name: functools.partial(order.append, name) for name in "ab"}, 0.001)
    assert set(timings) == {"a", "b"}
    assert order[:6] == list("ababab")


def test_summarizes_times_as_median_and_percentiles() -> None:
    timing = Timing.from_seconds([number / 1e3 for number in range(101)])
    assert (timing.median_ms, timing.p10_ms, timing.p90_ms) == pytest.approx((50, 10, 90))
    assert timing.runs == 101
