"""Threads that share a loop whose parts release the GIL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

__all__ = ["share_work"]


def share_work(work: Callable[[int], object], parts: int, threads: int, pool: str) -> None:
    """Call ``work(part)`` for every part from 0 on, in this thread and in helpers.

    An idle thread takes the next part. Exceptions of ``work`` are raised here.

    Args:
        work: Does one part.
        parts: Number of parts.
        threads: Largest number of threads, this one included.
        pool: Name of the helpers. Loops with different names do not wait for each other.
    """
    remaining = iter(range(parts))

    def run() -> None:
        for part in remaining:
            work(part)

    helpers = [_helpers(pool, threads).submit(run) for _ in range(min(threads, parts) - 1)]
    run()
    for helper in helpers:
        helper.result()


@cache
def _helpers(pool: str, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, pool)
