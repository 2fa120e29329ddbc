"""Tests of loops that several threads share."""

from __future__ import annotations

import threading

import pytest

from lseg_ros.work_sharing import share_work


@pytest.mark.parametrize(("parts", "threads"), [(0, 2), (1, 1), (1, 4), (100, 1), (100, 3)])
def test_does_every_part_once(parts: int, threads: int) -> None:
    done: list[int] = []
    share_work(done.append, parts, threads, "test")
    assert sorted(done) == list(range(parts))


def test_parts_run_at_the_same_time() -> None:
    both_run = threading.Barrier(2, timeout=20)
    share_work(lambda _: both_run.wait(), 2, 2, "test")


def test_a_busy_loop_does_not_delay_one_of_another_name() -> None:
    both_run, is_over = threading.Barrier(2, timeout=20), threading.Event()

    def wait(_: int) -> None:
        both_run.wait()
        is_over.wait(20)

    slow = threading.Thread(target=share_work, args=(wait, 2, 2, "slow"))
    slow.start()
    try:
        both = threading.Barrier(2, timeout=20)
        share_work(lambda _: both.wait(), 2, 2, "fast")
        assert slow.is_alive()
    finally:
        is_over.set()
        slow.join()


@pytest.mark.parametrize("part", [0, 1])
def test_an_error_in_any_part_is_raised(part: int) -> None:
    both_run = threading.Barrier(2, timeout=20)

    def work(number: int) -> None:
        both_run.wait()
        if number == part:
            raise MemoryError

    with pytest.raises(MemoryError):
        share_work(work, 2, 2, "test")
