"""Tests of the wait policy of OpenMP threads.

It is passive unless the environment says otherwise.
"""

import pytest

from lseg_ros.openmp import openmp_passive_wait_env


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)


def test_threads_spin_briefly_and_then_sleep() -> None:
    assert openmp_passive_wait_env() == {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000"}


def test_keeps_values_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert openmp_passive_wait_env()["GOMP_SPINCOUNT"] == "7"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert openmp_passive_wait_env() == {}
