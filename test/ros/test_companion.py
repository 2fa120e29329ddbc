from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.ros.companion import StampedCache

MS = 1_000_000
SLOP = 50 * MS


def companion(*stamps_ms: int) -> StampedCache[int]:
    filled: StampedCache[int] = StampedCache()
    for stamp in stamps_ms:
        filled.add(stamp * MS, stamp)
    return filled


def test_the_same_stamp_is_found_at_once():
    started_s = time.monotonic()
    assert companion(0, 33, 66).match(33 * MS, SLOP, patience_s=5).item == 33
    assert time.monotonic() - started_s < 1


def test_one_nearer_than_half_a_period_is_taken_without_waiting_for_the_next():
    started_s = time.monotonic()
    assert companion(0, 33, 66).match(70 * MS, SLOP, patience_s=5).item == 66
    assert time.monotonic() - started_s < 1


def test_a_nearer_one_that_is_still_to_come_is_waited_for():
    waiting = companion(0, 33)
    threading.Timer(0.05, waiting.add, [66 * MS, 66]).start()
    assert waiting.match(60 * MS, SLOP, patience_s=5).item == 66


def test_waiting_ends_and_what_was_nearest_is_taken_if_it_is_near_enough():
    assert companion(0, 33).match(63 * MS, SLOP, patience_s=0.05).item == 33
    match = companion(0, 33).match(200 * MS, SLOP, patience_s=0.05)
    assert match.item is None and match.offset_ns == -167 * MS


def test_without_anything_there_is_nothing():
    match = companion().match(0, SLOP)
    assert match.item is None and match.offset_ns is None


@given(st.lists(st.integers(0, 900), min_size=1, max_size=20, unique=True).map(sorted), st.integers(0, 900))
def test_no_other_item_is_nearer(stamps_ms, wanted_ms):
    match = companion(*stamps_ms).match(wanted_ms * MS, SLOP)
    nearest_ms = min(abs(stamp - wanted_ms) for stamp in stamps_ms)
    assert (match.item is not None) == (nearest_ms <= 50)
    assert abs(match.offset_ns) == nearest_ms * MS
