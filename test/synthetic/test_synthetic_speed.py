"""Rendering time of the synthetic world. Runs only with ``pytest --benchmark-only``."""

from __future__ import annotations

from typing import Any

import pytest

from lseg_ros.synthetic import SyntheticWorld


@pytest.fixture(autouse=True)
def _skip_unless_benchmarking(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("benchmark_only", default=False):
        pytest.skip("benchmark: run with --benchmark-only")


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (640, 480)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_rendering_time_of_twenty_worlds(benchmark: Any, size: tuple[int, int]) -> None:
    worlds = [SyntheticWorld(seed, *size) for seed in range(20)]
    benchmark.pedantic(lambda: [world.frame(1.0) for world in worlds], rounds=3, warmup_rounds=1)
