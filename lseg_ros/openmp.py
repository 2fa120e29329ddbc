"""How the CPU threads of the network wait for each other.

OpenMP reads its environment variables once, when PyTorch is imported.
"""

from __future__ import annotations

import os

__all__ = ["openmp_passive_wait_env"]


def openmp_passive_wait_env() -> dict[str, str]:
    """Return environment variables that let waiting threads sleep.

    Set them before torch is imported. A robot's cores have other work too, and a spinning thread can keep the thread it
    waits for from running. GNU's OpenMP, which PyTorch ships, spins for about 0.1 ms first; the next layer seldom takes
    longer to start.

    Returns:
        The variables and their values; empty if the environment already sets ``OMP_WAIT_POLICY``.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return {}
    return {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000")}
