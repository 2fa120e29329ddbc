"""Tests of matching messages by stamp."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.matching import CameraInfoCache, Match, StampedCache

MS = 1_000_000
SECOND = 1000 * MS
SLOP = 50 * MS


def make_cache(*stamps_ns: int) -> StampedCache[str]:
    """Make a cache with texts at stamps in nanoseconds."""
    cache: StampedCache[str] = StampedCache(span_ns=SECOND)
    for stamp_ns in stamps_ns:
        cache.add(stamp_ns, f"item {stamp_ns}")
    return cache


def make_cache_ms(*stamps_ms: int) -> StampedCache[int]:
    """Make a cache with the stamps in milliseconds as items."""
    cache: StampedCache[int] = StampedCache()
    for stamp_ms in stamps_ms:
        cache.add(stamp_ms * MS, stamp_ms)
    return cache


def test_finds_the_nearest_item_and_its_offset() -> None:
    assert make_cache(100, 200, 300).match(190, slop_ns=20) == Match("item 200", 10)
    assert make_cache(100, 200, 300).match(215, slop_ns=20) == Match("item 200", -15)


def test_reports_the_offset_of_an_item_that_is_too_far_away() -> None:
    assert make_cache(100).match(150, slop_ns=20) == Match(None, -50)


def test_finds_nothing_in_an_empty_cache() -> None:
    assert make_cache().match(150, slop_ns=20) == Match(None, None)


def test_newest_item_is_the_one_that_arrived_last() -> None:
    assert make_cache().newest() is None
    assert make_cache(100, 300, 200).newest() == "item 200"


def test_reports_when_the_nearest_item_arrived() -> None:
    before_s = time.monotonic()
    match = make_cache(100).match(150, slop_ns=20)
    assert match.arrived_s is not None
    assert before_s <= match.arrived_s <= time.monotonic()


def test_same_stamp_replaces_the_item() -> None:
    cache = make_cache(100)
    cache.add(100, "newer")
    assert cache.match(100, slop_ns=0).item == "newer"
    assert len(cache) == 1


def test_keeps_a_limited_number_of_items_whose_stamps_stay_close() -> None:
    cache = make_cache(*range(1000))
    assert len(cache) == 200
    assert cache.match(0, slop_ns=0).item is None
    assert cache.match(999, slop_ns=0).item == "item 999"


def test_keeps_a_limited_number_of_bytes() -> None:
    cache: StampedCache[bytes] = StampedCache()
    message = bytes(100 << 20)
    for stamp_ns in range(4):
        cache.add(stamp_ns, message)
    assert len(cache) == 2
    cache.add(4, bytes(300 << 20))
    assert len(cache) == 1  # the newest message is kept, whatever its size


def test_an_item_with_a_known_stamp_counts_as_the_newest() -> None:
    cache = make_cache(*range(200))
    cache.add(0, "newer")
    cache.add(500, "item 500")
    assert cache.match(0, slop_ns=0).item == "newer"
    assert cache.match(1, slop_ns=0).item is None


def test_drops_old_items() -> None:
    cache = make_cache(0, SECOND // 2, SECOND + 1)
    assert cache.match(0, slop_ns=10).item is None
    assert len(cache) == 2


def test_starts_over_when_the_clock_jumps_back() -> None:
    cache = make_cache(100 * SECOND, 101 * SECOND, 5 * SECOND)
    assert len(cache) == 1
    assert cache.match(5 * SECOND, slop_ns=0).item == f"item {5 * SECOND}"


def test_rejects_a_span_that_is_not_positive() -> None:
    with pytest.raises(ValueError, match="span_ns: expected a positive time"):
        StampedCache(span_ns=0)


@given(st.lists(st.integers(0, SECOND), min_size=1), st.integers(0, SECOND), st.integers(0, SECOND))
def test_no_other_item_is_nearer(stamps_ns: list[int], requested_ns: int, slop_ns: int) -> None:
    match = make_cache(*stamps_ns).match(requested_ns, slop_ns)
    distance_ns = min(abs(stamp_ns - requested_ns) for stamp_ns in stamps_ns)
    assert match.offset_ns is not None
    assert abs(match.offset_ns) == distance_ns
    assert (match.item is not None) == (distance_ns <= slop_ns)


def test_finds_the_same_stamp_without_waiting() -> None:
    started_s = time.monotonic()
    assert make_cache_ms(0, 33, 66).match(33 * MS, SLOP, patience_s=5).item == 33
    assert time.monotonic() - started_s < 1


def test_finds_an_item_nearer_than_half_a_period_without_waiting() -> None:
    started_s = time.monotonic()
    assert make_cache_ms(0, 33, 66).match(70 * MS, SLOP, patience_s=5).item == 66
    assert time.monotonic() - started_s < 1


def test_waits_for_a_nearer_item() -> None:
    cache = make_cache_ms(0, 33)
    threading.Timer(0.05, cache.add, [66 * MS, 66]).start()
    assert cache.match(60 * MS, SLOP, patience_s=5).item == 66


def test_takes_the_nearest_item_when_the_wait_ends() -> None:
    assert make_cache_ms(0, 33).match(63 * MS, SLOP, patience_s=0.05).item == 33
    assert make_cache_ms(0, 33).match(200 * MS, SLOP, patience_s=0.05) == Match(None, -167 * MS)


class TestCameraInfo:
    def test_an_image_gets_the_message_with_its_stamp(self) -> None:
        infos: CameraInfoCache[str] = CameraInfoCache()
        for stamp_ms in (0, 33, 66):
            infos.add(b"left", stamp_ms * MS, f"left {stamp_ms}")
            infos.add(b"right", stamp_ms * MS, f"right {stamp_ms}")
        assert infos.match(b"left", 33 * MS, 0) == "left 33"
        assert infos.match(b"right", 66 * MS, 0) == "right 66"
        assert set(infos.frame_ids()) == {b"left", b"right"}

    def test_a_message_that_was_published_once_belongs_to_all_images_of_its_frame_id(self) -> None:
        infos: CameraInfoCache[str] = CameraInfoCache()
        infos.add(b"left", 0, "once")
        assert infos.match(b"left", 3600 * SECOND, SLOP) == "once"
        assert infos.match(b"right", 0, SLOP) is None

    def test_a_message_without_frame_id_belongs_to_images_that_have_no_own(self) -> None:
        infos: CameraInfoCache[str] = CameraInfoCache()
        infos.add(b"", 0, "anonymous")
        infos.add(b"left", 0, "own")
        assert infos.match(b"left", 0, SLOP) == "own"
        assert infos.match(b"right", 0, SLOP) == "anonymous"

    def test_only_an_image_after_one_with_its_own_message_waits(self) -> None:
        infos: CameraInfoCache[str] = CameraInfoCache()
        infos.add(b"left", 0, "own")
        assert infos.expects_own(b"left", 0, 0)  # the first image
        assert infos.expects_own(b"left", 33 * MS, 0)
        assert not infos.expects_own(b"left", 66 * MS, 0)
