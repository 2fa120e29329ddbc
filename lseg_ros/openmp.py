"""How the network's CPU threads wait for one another. OpenMP reads it once, when PyTorch is imported."""

from __future__ import annotations

import os

__all__ = ["openmp_passive_wait_env"]


def openmp_passive_wait_env() -> dict[str, str]:
    """For the environment, before torch is imported: threads that wait go to sleep. Nothing where it says otherwise.

    A robot's cores have other work too, and a thread that spins keeps the one it waits for from running. GNU's OpenMP,
    with which PyTorch comes, spins for some 0.1 ms first: between two layers it seldom takes longer.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return {}
    return {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000")}
