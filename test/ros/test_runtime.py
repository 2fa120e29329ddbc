"""Tests of the code that all executables share."""

from __future__ import annotations

import threading

import pytest

from lseg_ros.ros.runtime import run_in_temporary_thread


def test_temporary_thread_returns_the_result_and_ends() -> None:
    thread = run_in_temporary_thread(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_temporary_thread_raises_the_exception_of_the_call() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run_in_temporary_thread(int, "nine")
