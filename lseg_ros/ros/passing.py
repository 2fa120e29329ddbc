"""Work for the network beside the worker's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["run_in_temporary_thread"]

P = ParamSpec("P")
T = TypeVar("T")


def run_in_temporary_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a call in a thread that ends with it, and return or raise what it does.

    Each thread that has run the network keeps OpenMP threads of its own for as long as it lives, and where there are
    more of them than cores, GNU's never spin: the worker's would be put to sleep and woken for every layer.
    """
    with ThreadPoolExecutor(1, "lseg in passing") as thread:
        return thread.submit(call, *args, **kwargs).result()
