"""Work beside the worker's is done in a thread that ends with it."""

import threading

import pytest

from lseg_ros.ros.passing import in_passing


def test_the_result_comes_from_a_thread_that_is_gone():
    thread = in_passing(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_what_it_raises_is_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        in_passing(int, "nine")
