"""The loops of the map that touch all channels of the embeddings.

Numba compiles them if it is installed. The versions in NumPy compute the same, up to rounding. Two threads share the
rows in parts that do not depend on the number of threads, and so neither do the results.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.work_sharing import share_work

__all__ = ["COMPILED", "gather_rows", "mix_rows", "quantize_rows", "scores"]

logger = logging.getLogger(__name__)

try:
    from numba import njit
except ImportError:  # an optional dependency
    COMPILED = False

    def _compile(function: Any) -> Any:
        """Return the function itself, which is not called."""
        return function

else:
    COMPILED = True

    def _compile(function: Any) -> Any:
        """Compile a function at its first call, and cache the result on disk if possible."""
        try:
            return njit(nogil=True, cache=True, fastmath={"contract", "nsz", "reassoc"})(function)
        except RuntimeError:  # no folder for the cache
            return njit(nogil=True, fastmath={"contract", "nsz", "reassoc"})(function)


Rows = NDArray[np.float32]
_THREADS = 2
_PART_ROWS = 512  # their float32 copies fit into the cache
_SEARCHED_ROWS = 16_384  # of one part in a search, which needs little time per row
_TILE = 8
_ROUNDER = np.float32(1.5 * 2**23)  # adding this rounds a small float32 to an integer
_HALF_TO_FLOAT = np.float32(2.0**112)  # difference of the exponents' biases
_FLOAT_TO_HALF = np.float32(2.0**-112)


def gather_rows(channels: NDArray[np.float32], columns: NDArray[np.int64]) -> tuple[Rows, Rows]:
    """Select columns of an embedding map as rows, and the factors that make them unit vectors.

    Args:
        channels: (C, P) float32, one column per pixel.
        columns: (M,) selected columns, ascending.

    Returns:
        (M, C) float32 rows and (M,) float32 factors. A row whose length is 0 or not finite is 0, and so is its factor.
    """
    rows = np.empty((len(columns), len(channels)), np.float32)
    square = np.zeros(len(columns), np.float32)

    def gather(first: int, last: int) -> None:
        part = slice(first, last)
        if COMPILED:
            _gather_rows(channels, columns[part], rows[part], square[part])
        else:
            rows[part] = channels.take(columns[part], axis=1).T
            square[part] = np.einsum("mc,mc->m", rows[part], rows[part])

    _share(gather, len(columns), _PART_ROWS)
    valid = (square > 0) & (square < np.inf)
    if not valid.all():
        rows[~valid] = 0
    return rows, np.where(valid, 1 / np.sqrt(np.where(valid, square, 1)), 0).astype(np.float32)


def mix_rows(
    means: NDArray[np.float16],
    slots: NDArray[np.int32],
    share: NDArray[np.float32],
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float32],
    rows: Rows,
) -> None:
    """Move running means towards new values, in place.

    ``means[slots[v]]`` becomes ``(1 - share[v])`` times itself plus the weighted sum of the rows of v.

    Args:
        means: (capacity, C) float16.
        slots: (V,) rows of ``means``, each at most once.
        share: (V,) from 0 to 1. With 1, the old value is not read.
        starts: (V + 1,) first entry of each v in ``columns`` and ``weights``.
        columns: (P,) rows of ``rows``.
        weights: (P,) weights; those of v sum up to ``share[v]``.
        rows: (M, C) new values.
    """

    def mix(first: int, last: int) -> None:
        part, begin, end = slice(first, last), starts[first], starts[last]
        if COMPILED:
            _mix_rows(means.view(np.uint16), slots[part], share[part], starts[first:], columns, weights, rows)
            return
        added = np.add.reduceat(weights[begin:end, None] * rows[columns[begin:end]], starts[part] - begin)
        rest = (1 - share[part])[:, None]
        means[slots[part]] = np.where(rest > 0, rest * means[slots[part]].astype(np.float32), 0) + added

    _share(mix, len(slots), _PART_ROWS)


def quantize_rows(means: NDArray[np.float16], slots: NDArray[np.int32], index: NDArray[np.int8], scale: Rows) -> None:
    """Write rows as 8-bit integers, with the factor that makes them unit vectors.

    Args:
        means: (capacity, C) float16.
        slots: (V,) rows to convert.
        index: (capacity, C) int8, written.
        scale: (capacity,) float32, written.
    """

    def quantize(first: int, last: int) -> None:
        part = slots[first:last]
        if COMPILED:
            _quantize_rows(means.view(np.uint16), part, index, scale)
            return
        rows = means[part].astype(np.float32)
        largest = np.maximum(abs(rows).max(axis=1), np.float32(1e-12))
        length = np.maximum(np.sqrt(np.einsum("vc,vc->v", rows, rows)), np.float32(1e-12))
        index[part] = np.rint(rows * (127 / largest)[:, None])
        scale[part] = largest / (127 * length)

    _share(quantize, len(slots), _PART_ROWS)


def scores(index: NDArray[np.int8], scale: Rows, query: NDArray[np.int16]) -> Rows:
    """Compute dot products of quantized rows and a query.

    Args:
        index: (N, C) int8.
        scale: (N,) float32 factor of each row.
        query: (C,) int16, small enough for sums of 32 bits.

    Returns:
        (N,) float32.
    """
    result = np.empty(len(index), np.float32)

    def compare(first: int, last: int) -> None:
        part = slice(first, last)
        if COMPILED:
            _scores(index[part], scale[part], query, result[part])
        else:
            result[part] = (index[part].astype(np.float32) @ query.astype(np.float32)) * scale[part]

    _share(compare, len(index), _SEARCHED_ROWS if COMPILED else _PART_ROWS)
    return result


def _share(work: Callable[[int, int], None], count: int, part: int) -> None:
    """Call ``work(first, last)`` for parts of ``count`` rows, in several threads."""
    share_work(lambda n: work(n * part, min((n + 1) * part, count)), -(-count // part), _THREADS, "lseg map")


@_compile
def _gather_rows(channels: Any, columns: Any, rows: Any, square: Any) -> None:
    whole = len(channels) // _TILE * _TILE
    for begin in range(0, whole, _TILE):  # a tile of channels is read in order; its fixed length saves half of the time
        for m in range(len(columns)):
            column, row, total = columns[m], rows[m, begin : begin + _TILE], np.float32(0)
            for c in range(_TILE):
                row[c] = channels[begin + c, column]
            for c in range(_TILE):
                total += row[c] * row[c]
            square[m] += total
    for c in range(whole, len(channels)):
        for m in range(len(columns)):
            value = channels[c, columns[m]]
            rows[m, c] = value
            square[m] += value * value


@_compile
def _mix_rows(means: Any, slots: Any, share: Any, starts: Any, columns: Any, weights: Any, rows: Any) -> None:
    dim = rows.shape[1]
    row = np.empty(dim, np.float32)
    bits = row.view(np.uint32)
    for v in range(len(slots)):
        mean = means[slots[v]]
        rest = np.float32(1) - share[v]
        if rest > 0:
            for c in range(dim):
                bits[c] = (np.uint32(mean[c] & 0x7FFF) << 13) | (np.uint32(mean[c] & 0x8000) << 16)
            for c in range(dim):
                row[c] *= _HALF_TO_FLOAT * rest
        else:
            for c in range(dim):
                row[c] = 0
        for j in range(starts[v], starts[v + 1]):
            source, weight = rows[columns[j]], weights[j]
            for c in range(dim):
                row[c] += weight * source[c]
        for c in range(dim):
            row[c] *= _FLOAT_TO_HALF
        for c in range(dim):  # round to even
            magnitude = np.uint32(bits[c] & np.uint32(0x7FFFFFFF))
            odd = np.uint32(magnitude >> np.uint32(13)) & np.uint32(1)
            rounded = np.uint32(magnitude + np.uint32(0x0FFF) + odd) >> np.uint32(13)
            sign = np.uint32(bits[c] >> np.uint32(16)) & np.uint32(0x8000)
            mean[c] = np.uint16(rounded | sign)


@_compile
def _quantize_rows(means: Any, slots: Any, index: Any, scale: Any) -> None:
    dim = means.shape[1]
    row = np.empty(dim, np.float32)
    bits = row.view(np.uint32)
    for v in range(len(slots)):
        mean, quantized = means[slots[v]], index[slots[v]]
        largest = np.uint16(0)  # without their sign, the bits of floats have the order of the floats
        for c in range(dim):
            largest = max(largest, np.uint16(mean[c] & np.uint16(0x7FFF)))
        bits[0] = np.uint32(largest) << np.uint32(13)
        limit = max(row[0] * _HALF_TO_FLOAT, np.float32(1e-12))
        for c in range(dim):
            bits[c] = (np.uint32(mean[c] & 0x7FFF) << 13) | (np.uint32(mean[c] & 0x8000) << 16)
        square = np.float32(0)
        for c in range(dim):
            row[c] *= _HALF_TO_FLOAT
            square += row[c] * row[c]
        factor = np.float32(127) / limit
        for c in range(dim):
            row[c] = row[c] * factor + _ROUNDER
        for c in range(dim):  # the low bits hold the integer
            quantized[c] = np.int8(bits[c] & np.uint32(0xFF))
        scale[slots[v]] = limit / (np.float32(127) * max(np.sqrt(square), np.float32(1e-12)))


@_compile
def _scores(index: Any, scale: Any, query: Any, result: Any) -> None:
    for v in range(len(index)):
        total = np.int32(0)
        for c in range(len(query)):
            total += np.int32(index[v, c]) * np.int32(query[c])
        result[v] = np.float32(total) * scale[v]
