"""How fast the synthetic world renders; runs only with ``pytest --benchmark-only``."""

from __future__ import annotations

from typing import Any

import pytest

from lseg_ros.synthetic import SyntheticWorld


@pytest.fixture(autouse=True)
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("benchmark_only", default=False):
        pytest.skip("a measurement, not a check: run with --benchmark-only")


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (640, 480)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_frames_of_twenty_worlds(benchmark: Any, size: tuple[int, int]) -> None:
    worlds = [SyntheticWorld(seed, *size) for seed in range(20)]
    benchmark.pedantic(lambda: [world.frame(1.0) for world in worlds], rounds=3, warmup_rounds=1)
