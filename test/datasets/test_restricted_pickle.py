"""Pickles of plain data are read as pickle reads them; nothing else is read at all."""

import contextlib
import pickle
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.datasets.restricted_pickle import read_plain_pickle

PLAIN = st.recursive(
    st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)
PROTOCOLS = st.integers(0, pickle.HIGHEST_PROTOCOL)


@given(content=PLAIN, protocol=PROTOCOLS)
def test_what_was_pickled_is_read_by_every_protocol(content: Any, protocol: int) -> None:
    assert read_plain_pickle(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_named_twice_and_lists_of_thousands_are_read(protocol: int) -> None:
    name = "val2014/COCO_val2014_000000429717.jpg"
    content = {0: [name] * 3000, 1: [f"{name}{number}" for number in range(3000)], 2: [name]}
    assert read_plain_pickle(pickle.dumps(content, protocol)) == content


def test_the_texts_of_python_2_are_read() -> None:
    assert read_plain_pickle(b"\x80\x02}q\x00K\x03]q\x01U\x05a.jpgq\x02as.") == {3: ["a.jpg"]}


@given(st.binary(max_size=60))
def test_whatever_the_bytes_nothing_worse_than_a_value_error_comes_of_them(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_plain_pickle(data)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", [date(2026, 1, 1), {1}, (1,), 1.5, None, True, b"a", print])
def test_anything_else_is_refused(content: object, protocol: int) -> None:
    if content is True and protocol < 2:  # is the number 1 there
        return
    with pytest.raises(ValueError, match="the instruction "):
        read_plain_pickle(pickle.dumps([content], protocol))


def test_an_announced_gigabyte_that_is_not_there_takes_no_memory() -> None:
    with pytest.raises(ValueError):
        read_plain_pickle(b"\x80\x03X\xff\xff\xff\x7fabc.")
    assert read_plain_pickle(b"\x80\x03]r\xff\xff\xff\x7f.") == []  # a memo of two thousand million places
