"""Work beside the worker's is done in a thread that ends with it."""

import threading

import pytest

from lseg_ros.ros.passing import run_in_temporary_thread


def test_the_result_comes_from_a_thread_that_is_gone():
    thread = run_in_temporary_thread(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_what_it_raises_is_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        run_in_temporary_thread(int, "nine")
