"""What this device can do at most, measured on the spot."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from lseg_ros.benchmark.op_counter import Work

__all__ = ["Roofline"]

_MATRIX = {"cpu": 1536, "cuda": 8192}  # side; large enough to be at the peak, small enough to be quick
_COPIED_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}  # beyond any cache
_SECONDS = 1.0  # for each of the two


class Roofline:
    """The best of several products of two square matrices in each precision asked for, and of several copies."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.bytes_per_s = self._copy()
        self.flop_per_s: dict[str, float] = {}

    def needed_ms(self, work: Work, dtype: torch.dtype) -> float:
        """The longer of arithmetic and traffic, each at its peak."""
        name = str(dtype).removeprefix("torch.")
        if work.flop and name not in self.flop_per_s:
            self.flop_per_s[name] = self._matmul(dtype)
        arithmetic_s = work.flop / self.flop_per_s[name] if work.flop else 0.0
        return 1e3 * max(arithmetic_s, work.bytes / self.bytes_per_s)

    def _matmul(self, dtype: torch.dtype) -> float:
        side = _MATRIX.get(self._device.type, _MATRIX["cpu"])
        a, b = (torch.randn(side, side, device=self._device).to(dtype) for _ in range(2))
        out = torch.empty(side, side, device=self._device, dtype=dtype)
        return 2 * side**3 / self._best_s(lambda: torch.matmul(a, b, out=out))

    def _copy(self) -> float:
        count = _COPIED_BYTES.get(self._device.type, _COPIED_BYTES["cpu"])
        source = torch.ones(count, dtype=torch.uint8, device=self._device)
        target = torch.zeros_like(source)
        return 2 * count / self._best_s(lambda: target.copy_(source))

    def _best_s(self, run: Callable[[], object]) -> float:
        """The quickest run: whatever else slows one down, the device could do this."""
        best_s, until_s = float("inf"), time.perf_counter() + _SECONDS
        run()
        while best_s == float("inf") or time.perf_counter() < until_s:
            self._wait()
            start_s = time.perf_counter()
            run()
            self._wait()
            best_s = min(best_s, time.perf_counter() - start_s)
        return best_s

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
