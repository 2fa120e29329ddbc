"""RVL, the lossless compression of depth images by A. D. Wilson (ISS 2017).

Zero and nonzero pixels alternate in runs. The stream is a sequence of numbers: the length of a run of zeros, the length
of the run of nonzero pixels that follows, and for each of its pixels the difference from the nonzero pixel before it,
with the sign in the lowest bit. A number is a series of groups of four bits, the lowest first, with three bits of the
number in each; the highest bit of a group says whether another one follows. Eight groups fill a little-endian word of
32 bits from its highest bits down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_rvl"]

_MAX_GROUPS = 6  # of a number: the longest is the length of a run


def decode_rvl(data: bytes | memoryview, size: int) -> NDArray[np.uint16]:
    """Decompress pixels.

    Args:
        data: The compressed pixels.
        size: Number of pixels.

    Returns:
        (size,) uint16.

    Raises:
        ValueError: The data are incomplete or damaged.
    """
    numbers = _decode_numbers(data)
    runs, at, done = [], 0, 0
    while done < size:
        if at + 2 > len(numbers):
            raise ValueError(f"RVL: expected {size} pixels, got data that end after {done}")
        zeros, nonzeros = int(numbers[at]), int(numbers[at + 1])
        if done + zeros + nonzeros > size or at + 2 + nonzeros > len(numbers) or not (zeros or nonzeros):
            raise ValueError(f"RVL: expected {size} pixels, got damaged data after {done}")
        runs.append((done + zeros, at + 2, nonzeros))
        done, at = done + zeros + nonzeros, at + 2 + nonzeros
    pixels = np.zeros(size, np.uint16)
    if runs:
        begins, sources, lengths = np.array(runs, np.int64).T
        step = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        signed = numbers[np.repeat(sources, lengths) + step]
        difference = (signed >> 1) ^ -(signed & 1)
        pixels[np.repeat(begins, lengths) + step] = np.cumsum(difference) & 0xFFFF
    return pixels


def _decode_numbers(data: bytes | memoryview) -> NDArray[np.int64]:
    """Split the stream into its numbers."""
    words = np.frombuffer(data, "<u4", len(data) // 4)
    octets = words.astype(">u4").view(np.uint8)
    groups = np.empty(2 * len(octets), np.uint8)
    groups[::2], groups[1::2] = octets >> 4, octets & 15
    ends = np.flatnonzero(groups < 8)
    if not ends.size:
        return np.empty(0, np.int64)
    begins = np.concatenate([[0], ends[:-1] + 1])
    if (ends - begins).max() >= _MAX_GROUPS + 2:
        raise ValueError("RVL: expected numbers of at most 24 bits, got a longer one")
    groups = groups[: ends[-1] + 1]
    place = np.arange(len(groups)) - np.repeat(begins, ends - begins + 1)
    return np.add.reduceat((groups & 7).astype(np.int64) << (3 * place), begins)
