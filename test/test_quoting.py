"""Texts of other programs cannot forge a line, control a terminal or fill the log."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.quoting import escape, quote

FORGED = "camera\n[FATAL] [1.0] [lseg]: \x1b[31mout of memory\x1b[0m\u2028\u202e"


def test_plain_texts_of_all_scripts_are_unchanged() -> None:
    for text in ("", "camera_optical_frame", "кухня", "机器人", "it's", "C:\\data"):
        assert escape(text) == text
    assert quote("кухня") == "'кухня'"


def test_line_breaks_and_control_sequences_are_escaped() -> None:
    assert escape(FORGED) == r"camera\n[FATAL] [1.0] [lseg]: \x1b[31mout of memory\x1b[0m\u2028\u202e"
    assert quote(FORGED[:20]) == r"'camera\n[FATAL] [1.0]'"


def test_long_texts_are_shortened_and_their_length_is_named() -> None:
    assert quote("x" * 100, limit=3) == "'xxx'... (100 characters)"
    assert escape("x" * 100, limit=3) == "xxx... (100 characters)"


@given(st.text(st.characters(), max_size=200))
def test_every_text_becomes_one_printable_line(text: str) -> None:
    assert escape(text).isprintable()
    assert quote(text).isprintable()
    if len(text) <= 60:
        assert ast.literal_eval(quote(text)) == text
