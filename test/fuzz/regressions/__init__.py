"""Inputs that once failed: keep new ones and list the known ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["keep_if_failing", "list_cases"]

_FOLDER = Path(__file__).parent


def list_cases(kind: str) -> list[Path]:
    """List the regression cases of a kind."""
    return sorted((_FOLDER / kind).glob("[!.]*"))


@contextmanager
def keep_if_failing(kind: str, suffix: str, data: bytes) -> Iterator[None]:
    """Write an input to the regression cases if the code under ``with`` raises.

    Hypothesis runs the smallest failing input last, so that is the one that stays.

    Args:
        kind: Subfolder of the cases.
        suffix: Suffix of the file.
        data: The input.
    """
    try:
        yield
    except Exception:
        file = _FOLDER / kind / f"new{suffix}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        raise
