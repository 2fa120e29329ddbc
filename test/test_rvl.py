"""Tests of RVL against an encoder that follows the paper step by step."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lseg_ros.rvl import decode_rvl

# Worked out by hand: two zeros, two pixels, +5 and -2: the numbers 2, 2, 10, 3 are the groups 2, 2, 10 1, 3.
EXAMPLE = struct.pack("<I", 0x22A13000)


def encode_rvl(pixels: list[int]) -> bytes:
    """Compress pixels."""
    groups: list[int] = []

    def write(number: int) -> None:
        while True:
            group, number = number & 7, number >> 3
            groups.append(group | (8 if number else 0))
            if not number:
                return

    at, before = 0, 0
    while at < len(pixels):
        zeros = next((i for i, pixel in enumerate(pixels[at:]) if pixel), len(pixels) - at)
        at += zeros
        nonzeros = next((i for i, pixel in enumerate(pixels[at:]) if not pixel), len(pixels) - at)
        write(zeros)
        write(nonzeros)
        for pixel in pixels[at : at + nonzeros]:
            difference = pixel - before
            write(2 * difference if difference >= 0 else -2 * difference - 1)
            before = pixel
        at += nonzeros
    groups += [0] * (-len(groups) % 8)
    words = [sum(group << (28 - 4 * i) for i, group in enumerate(groups[j : j + 8])) for j in range(0, len(groups), 8)]
    return struct.pack(f"<{len(words)}I", *words)


def test_example_that_was_worked_out_by_hand() -> None:
    assert encode_rvl([0, 0, 5, 3]) == EXAMPLE
    assert decode_rvl(EXAMPLE, 4).tolist() == [0, 0, 5, 3]


@given(st.lists(st.one_of(st.just(0), st.integers(0, 65535)), max_size=200))
def test_decoded_pixels_equal_the_encoded_ones(pixels: list[int]) -> None:
    assert decode_rvl(encode_rvl(pixels), len(pixels)).tolist() == pixels


@given(st.binary(max_size=64), st.integers(0, 300))
def test_any_bytes_are_an_error_or_pixels(data: bytes, size: int) -> None:
    try:
        assert decode_rvl(data, size).shape == (size,)
    except ValueError as error:
        assert str(error).startswith("RVL: expected")


def test_truncated_data_are_an_error() -> None:
    data = encode_rvl(np.random.default_rng(0).integers(1, 65536, 100).tolist())
    with pytest.raises(ValueError, match="RVL: expected 100 pixels"):
        decode_rvl(data[: len(data) // 2], 100)
