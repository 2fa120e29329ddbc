"""Tests of the soak test: what it measures, and that it misses no fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.soak import Minute, Sample, check_goals, read_sample, summarize_minutes

EVENTS = {"masks": 600, "label changes": 60, "queries": 80}
STEADY = [Minute(number, 800.0, 30, 90, EVENTS) for number in range(10)]


def missed(
    minutes: list[Minute], unannounced: tuple[int, ...] = (), output: str = "looking for floor", status: int = 0
) -> list[str]:
    """The names of the goals that a run misses."""
    return [goal.name for goal in check_goals(minutes, unannounced, output, status) if not goal.met]


def test_a_steady_run_meets_all_goals() -> None:
    assert missed(STEADY) == []


def test_growth_during_the_warm_up_is_allowed() -> None:
    assert missed([Minute(number, 500.0, 20, 60, EVENTS) for number in range(5)] + STEADY[5:]) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"memory_mib": 809.0}, "memory grows by at most 1% after minute 5"),
        ({"threads": 31}, "no additional thread"),
        ({"descriptors": 91}, "no additional descriptor"),
        ({"events": {**EVENTS, "failed queries": 1}}, "every request succeeds"),
    ],
)
def test_a_change_after_the_warm_up_misses_a_goal(changes: dict[str, object], name: str) -> None:
    last = Minute(**{"number": 9, "memory_mib": 800.0, "threads": 30, "descriptors": 90, "events": EVENTS, **changes})  # type: ignore[arg-type]
    assert missed([*STEADY[:9], last]) == [name]


def test_a_fault_at_any_time_misses_a_goal() -> None:
    assert missed(STEADY, unannounced=(7,)) == ["no mask with an unannounced id"]
    assert missed(STEADY, output="Traceback (most recent call last)") == ["no traceback"]
    assert missed(STEADY, status=-9) == ["exit status 0"]
    assert missed([Minute(0, 800.0, 30, 90, {})]) == ["masks"]


def test_minutes_have_the_median_memory_and_the_smallest_counts() -> None:
    samples = [Sample(1.0, 10.0, 5, 9), Sample(2.0, 12.0, 4, 8), Sample(59.0, 90.0, 6, 7), Sample(61.0, 11.0, 5, 9)]
    events = [(3.0, "masks"), (4.0, "masks"), (60.5, "queries")]
    assert summarize_minutes(samples, events) == [
        Minute(0, 12.0, 4, 7, {"masks": 2}),
        Minute(1, 11.0, 5, 9, {"queries": 1}),
    ]


def test_reads_memory_threads_and_descriptors_of_a_process() -> None:
    before = read_sample(os.getpid(), time.monotonic())
    with Path(os.devnull).open() as _:
        after = read_sample(os.getpid(), time.monotonic())
    assert before.memory_mib > 10 and before.threads >= 1
    assert after.descriptors == before.descriptors + 1


@pytest.mark.slow
def test_the_command_runs_the_node_and_writes_a_report(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.5", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    report = json.loads(file.read_text())
    assert done.returncode == int(not all(goal["met"] for goal in report["goals"])), done.stderr
    events = report["minutes"][0]["events"]
    assert {"masks", "label changes", "queries", "pauses", "participants", "visits"} <= set(events)
    goals = {goal["name"]: goal["met"] for goal in report["goals"]}
    assert goals["no mask with an unannounced id"] and goals["no traceback"] and goals["every request succeeds"]
