"""The loops of the map that touch all channels of the embeddings.

Numba compiles them if it is installed. The versions in NumPy compute the same, up to rounding.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_CHUNK_ROWS = 1024  # their float32 copies fit into the cache
_TILE = 8
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
    if COMPILED:
        rows = np.empty((len(columns), len(channels)), np.float32)
        square = np.zeros(len(columns), np.float32)
        _gather_rows(channels, columns, rows, square)
    else:
        rows = np.ascontiguousarray(channels.take(columns, axis=1).T)
        square = np.einsum("mc,mc->m", rows, rows)
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
    if COMPILED:
        _mix_rows(means.view(np.uint16), slots, share, starts, columns, weights, rows)
        return
    for first in range(0, len(slots), _CHUNK_ROWS):
        part = slice(first, min(first + _CHUNK_ROWS, len(slots)))
        begin, end = starts[part.start], starts[part.stop]
        added = np.add.reduceat(weights[begin:end, None] * rows[columns[begin:end]], starts[part] - begin)
        rest = (1 - share[part])[:, None]
        means[slots[part]] = np.where(rest > 0, rest * means[slots[part]].astype(np.float32), 0) + added


def quantize_rows(means: NDArray[np.float16], slots: NDArray[np.int32], index: NDArray[np.int8], scale: Rows) -> None:
    """Write rows as 8-bit integers, with the factor that makes them unit vectors.

    Args:
        means: (capacity, C) float16.
        slots: (V,) rows to convert.
        index: (capacity, C) int8, written.
        scale: (capacity,) float32, written.
    """
    if COMPILED:
        _quantize_rows(means.view(np.uint16), slots, index, scale)
        return
    for first in range(0, len(slots), _CHUNK_ROWS):
        part = slots[first : first + _CHUNK_ROWS]
        rows = means[part].astype(np.float32)
        largest = np.maximum(abs(rows).max(axis=1), np.float32(1e-12))
        length = np.maximum(np.sqrt(np.einsum("vc,vc->v", rows, rows)), np.float32(1e-12))
        index[part] = np.rint(rows * (127 / largest)[:, None])
        scale[part] = largest / (127 * length)


def scores(index: NDArray[np.int8], scale: Rows, query: NDArray[np.int16], out: Rows, first: int, last: int) -> None:
    """Compute dot products of quantized rows and a query.

    Args:
        index: (N, C) int8.
        scale: (N,) float32 factor of each row.
        query: (C,) int16 of at most 127.
        out: (N,) float32, written from ``first`` to ``last``.
        first: First row.
        last: Row after the last one.
    """
    if COMPILED:
        _scores(index, scale, query, out, first, last)
        return
    for begin in range(first, last, _CHUNK_ROWS):
        part = slice(begin, min(begin + _CHUNK_ROWS, last))
        out[part] = (index[part].astype(np.float32) @ query.astype(np.float32)) * scale[part]


@_compile
def _gather_rows(channels: Any, columns: Any, rows: Any, square: Any) -> None:
    for begin in range(0, len(channels), _TILE):  # a tile of channels is read in order, and written in whole lines
        for m in range(len(columns)):
            column, total = columns[m], np.float32(0)
            for c in range(begin, min(begin + _TILE, len(channels))):
                value = channels[c, column]
                rows[m, c] = value
                total += value * value
            square[m] += total


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
            magnitude = bits[c] & np.uint32(0x7FFFFFFF)
            rounded = (magnitude + np.uint32(0x0FFF) + ((magnitude >> 13) & np.uint32(1))) >> 13
            mean[c] = np.uint16(rounded | ((bits[c] >> 16) & np.uint32(0x8000)))


@_compile
def _quantize_rows(means: Any, slots: Any, index: Any, scale: Any) -> None:
    dim = means.shape[1]
    row = np.empty(dim, np.float32)
    bits = row.view(np.uint32)
    for v in range(len(slots)):
        mean = means[slots[v]]
        for c in range(dim):
            bits[c] = (np.uint32(mean[c] & 0x7FFF) << 13) | (np.uint32(mean[c] & 0x8000) << 16)
        largest, square = np.float32(1e-12), np.float32(0)
        for c in range(dim):
            row[c] *= _HALF_TO_FLOAT
            largest = max(largest, abs(row[c]))
            square += row[c] * row[c]
        factor = np.float32(127) / largest
        for c in range(dim):
            index[slots[v], c] = np.int8(np.rint(row[c] * factor))
        scale[slots[v]] = largest / (np.float32(127) * max(np.sqrt(square), np.float32(1e-12)))


@_compile
def _scores(index: Any, scale: Any, query: Any, out: Any, first: int, last: int) -> None:
    for v in range(first, last):
        total = np.int32(0)
        for c in range(len(query)):
            total += np.int32(index[v, c]) * np.int32(query[c])
        out[v] = np.float32(total) * scale[v]
