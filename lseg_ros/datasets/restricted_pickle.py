"""Read pickles of plain data without importing or calling anything."""

from __future__ import annotations

import io
import pickle
from typing import Any

__all__ = ["restricted_loads"]


def restricted_loads(data: bytes) -> Any:
    """Read a pickle of containers, texts and numbers, from Python 2 or 3.

    Returns:
        The unpickled data.

    Raises:
        ValueError: If the pickle is broken or refers to anything that would have to be imported.
    """
    try:
        return _RestrictedUnpickler(io.BytesIO(data), encoding="latin-1").load()
    except Exception as error:  # pickle's documentation does not limit what a broken pickle may raise
        reason = str(error) if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"a pickle that cannot be read ({reason})") from error


class _RestrictedUnpickler(pickle._Unpickler):
    """An unpickler that finds no class or function.

    Based on the implementation in Python, which keeps its memo in a dictionary: the one in C allocates an array as
    large as the largest index in a pickle, so a file of ten bytes could use up all memory.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")

    def get_extension(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"it refers to the registered extension {code}")
