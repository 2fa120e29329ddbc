"""Text of every script is drawn, whatever the version of OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.text_drawing import draw_text, text_width

WORDS = ("café", "кухня", "κουζίνα", "مطبخ", "מטבח", "机器人", "テーブル", "로봇", "रसोई", "ห้องครัว", "ወጥ")


def draw(text: str, size: int = 16) -> np.ndarray:
    """Draw a text in white on black, (40, 200)."""
    picture = np.zeros((40, 200, 3), np.uint8)
    draw_text(picture, text, (4, 28), size, (255, 255, 255))
    return picture[..., 0]


@pytest.mark.parametrize("word", WORDS)
def test_every_script_has_letters(word: str) -> None:
    drawn = draw(word)
    assert drawn.any()
    for placeholder in ("?", "\uffff"):  # a question mark, and the glyph of a character that no font has
        assert not np.array_equal(drawn, draw(placeholder * len(word)))
    assert len({draw(character).tobytes() for character in set(word) if character.isalpha()}) > 1


def test_a_word_fits_its_width() -> None:
    for word in WORDS:
        columns = np.flatnonzero(draw(word).any(axis=0))
        assert columns.min() >= 3
        assert columns.max() <= 4 + text_width(word, 16)


def test_larger_size_is_wider() -> None:
    assert text_width("table", 12) < text_width("table", 24) < text_width("table table", 24)


def test_blends_with_the_picture() -> None:
    picture = np.full((40, 200, 3), 100, np.uint8)
    draw_text(picture, "I", (4, 28), 30, (200, 0, 100))
    assert picture.max(axis=(0, 1)).tolist() == [200, 100, 100]
    assert picture.min(axis=(0, 1)).tolist() == [100, 0, 100]


@given(st.text(st.characters(), max_size=8), st.integers(-300, 300), st.integers(-100, 100), st.integers(1, 40))
def test_draws_any_text_anywhere(text: str, column: int, row: int, size: int) -> None:
    picture = np.full((40, 60, 3), 7, np.uint8)
    draw_text(picture, text, (column, row), size, (255, 255, 255))
    assert picture.min() >= 7
    assert text_width(text, size) > 0
