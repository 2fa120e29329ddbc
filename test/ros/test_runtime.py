"""Tests of the code that all executables share."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from rclpy.logging import get_logger

from lseg_ros.ros.runtime import Attempt, run_in_temporary_thread


def test_temporary_thread_returns_the_result_and_ends() -> None:
    thread = run_in_temporary_thread(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_temporary_thread_raises_the_exception_of_the_call() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run_in_temporary_thread(int, "nine")


def test_a_node_ends_when_it_is_done_even_if_no_further_event_arrives() -> None:
    code = """
import sys, threading
from rclpy.node import Node
from lseg_ros.ros.runtime import run
done = threading.Event()
def start(node):
    threading.Timer(5.0, done.set).start()
    return True
sys.exit(run(lambda: Node("done"), start, until=lambda node: done.is_set()))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=90)


def test_an_attempt_logs_the_exception_and_keeps_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    with Attempt(get_logger("attempt"), "cannot add") as attempt:
        raise KeyError("width")
    assert attempt.reason is not None and attempt.reason.startswith("KeyError: 'width'")
    assert f"cannot add: {attempt.reason}" in capfd.readouterr().err


def test_an_attempt_that_succeeds_has_no_reason() -> None:
    with Attempt(get_logger("attempt"), "cannot add") as attempt:
        pass
    assert attempt.reason is None


def test_an_attempt_does_not_stop_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), Attempt(get_logger("attempt"), "cannot add"):
        raise KeyboardInterrupt


def test_a_failure_that_repeats_is_logged_once_within_the_throttle_time(capfd: pytest.CaptureFixture[str]) -> None:
    for failure in ("first", "second", "first"):
        with Attempt(get_logger("attempt"), failure, throttle_s=3600.0):
            raise ValueError("x")
    lines = capfd.readouterr().err
    assert lines.count("first: x") == lines.count("second: x") == 1
