"""Matching by stamp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.sync import Match, StampedBuffer

SECOND = 1_000_000_000


def buffer_of(*stamps: int) -> StampedBuffer[str]:
    buffer: StampedBuffer[str] = StampedBuffer(span_ns=SECOND)
    for stamp in stamps:
        buffer.add(stamp, f"item {stamp}")
    return buffer


def test_the_nearest_item_is_found_with_how_far_it_is() -> None:
    assert buffer_of(100, 200, 300).nearest(190, slop_ns=20) == Match("item 200", 10)
    assert buffer_of(100, 200, 300).nearest(215, slop_ns=20) == Match("item 200", -15)


def test_a_miss_says_by_how_much() -> None:
    assert buffer_of(100).nearest(150, slop_ns=20) == Match(None, -50)
    assert buffer_of().nearest(150, slop_ns=20) == Match(None, None)


def test_the_same_stamp_replaces() -> None:
    buffer = buffer_of(100)
    buffer.add(100, "newer")
    assert buffer.nearest(100, slop_ns=0).item == "newer"
    assert len(buffer) == 1


def test_old_items_are_forgotten() -> None:
    buffer = buffer_of(0, SECOND // 2, SECOND + 1)
    assert buffer.nearest(0, slop_ns=10).item is None
    assert len(buffer) == 2


def test_a_clock_that_jumps_back_begins_anew() -> None:
    buffer = buffer_of(100 * SECOND, 101 * SECOND, 5 * SECOND)
    assert len(buffer) == 1
    assert buffer.nearest(5 * SECOND, slop_ns=0).item == f"item {5 * SECOND}"


def test_clear_forgets_everything() -> None:
    buffer = buffer_of(1, 2)
    buffer.clear()
    assert buffer.nearest(1, slop_ns=SECOND) == Match(None, None)


def test_a_span_that_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="span_ns: expected a positive time"):
        StampedBuffer(span_ns=0)


@given(st.lists(st.integers(0, SECOND), min_size=1), st.integers(0, SECOND), st.integers(0, SECOND))
def test_no_item_is_nearer_than_the_one_found(stamps: list[int], wanted: int, slop: int) -> None:
    match = buffer_of(*stamps).nearest(wanted, slop)
    distance = min(abs(stamp - wanted) for stamp in stamps)
    assert match.offset_ns is not None
    assert abs(match.offset_ns) == distance
    assert (match.item is not None) == (distance <= slop)
