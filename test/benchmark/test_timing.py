"""How times are taken."""

from __future__ import annotations

import time

import pytest

from lseg_ros.benchmark import Timing, measure, measure_in_turn


def test_a_long_call_is_made_a_few_times_all_the_same() -> None:
    calls = []
    timing = measure(lambda: (time.sleep(0.02), calls.append(1)), 0.001)
    assert timing.runs == 3 and len(calls) >= 4  # once to warm up
    assert timing.median_ms >= 20


def test_runs_take_turns() -> None:
    order: list[str] = []
    timings = measure_in_turn({name: lambda name=name: order.append(name) for name in "ab"}, 0.001)
    assert set(timings) == {"a", "b"}
    assert order[:6] == list("ababab")


def test_the_spread_is_a_tenth_from_either_end() -> None:
    timing = Timing.of([each / 1e3 for each in range(101)])
    assert (timing.median_ms, timing.p10_ms, timing.p90_ms) == pytest.approx((50, 10, 90))
    assert timing.runs == 101
