"""Tests of the benchmark of lidar points."""

from __future__ import annotations

from benchmarks.lidar import measure


def test_every_stage_is_measured() -> None:
    times_ms = measure(1, rings=4, columns=64)
    assert list(times_ms) == ["read", "label", "merge", "write", "total"]
    assert all(ms > 0 for ms in times_ms.values())
