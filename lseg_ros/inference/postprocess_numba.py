"""Upsampling, softmax and arg max on a CPU in one pass, compiled by Numba.

PyTorch needs six passes over all logits at full size, which dominate the time of a frame with many labels. Here the
rows of four labels at a time are upsampled into the cache and update the best label and the sum of each pixel at once.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.work_sharing import share_work

__all__ = ["AVAILABLE", "Level", "upsample_argmax"]

logger = logging.getLogger(__name__)

try:
    from numba import njit
    from numba.core.caching import FunctionCache
except ImportError:  # an optional dependency: without it PyTorch computes the same
    AVAILABLE = False

    def _compile(function: Any) -> Any:
        """Return the function itself, which is not called."""
        return function

else:
    AVAILABLE = True

    class _OptionalCache(FunctionCache):  # type: ignore[misc]  # numba is untyped
        """Compiled code on disk. An error while reading or writing it costs only the compilation."""

        def load_overload(self, *arguments: Any) -> Any:
            """Return the compiled code for a signature, or None."""
            return self._attempt(super().load_overload, *arguments)

        def save_overload(self, *arguments: Any) -> None:
            """Save the compiled code of a signature."""
            self._attempt(super().save_overload, *arguments)

        def _attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return call(*arguments)
            except Exception as error:  # a full disk, or a damaged file, which may raise anything
                logger.info("%s: the compiled code is not cached: %s: %s", self.cache_path, type(error).__name__, error)
                return None

    def _compile(function: Any) -> Any:
        """Compile a function at its first call, and cache the result on disk if possible."""
        # No reordering of operations: results are the same on every CPU.
        compiled = njit(nogil=True, fastmath={"contract", "nsz"})(function)
        with suppress(RuntimeError, OSError):  # neither the package nor the home directory is writable
            # njit(cache=True) sets a FunctionCache in the same way.
            compiled._cache = _OptionalCache(function)  # type: ignore[attr-defined]
        return compiled


_thread_buffers = threading.local()
_BAND_PX = 16_000  # pixels of a band: their state and the logits of the labels in progress stay in the cache
_GROUP = 4  # labels that are processed together
_PADDING_LOGIT = -1e6  # logit that completes the last group: far behind, and finite after any scaling
_ROUNDER = np.float32(1.5 * 2**23)  # adding and subtracting this rounds a float32 to the nearest integer
_MIN_EXPONENT = np.float32(-120)  # 2^-120 is a normal number, and negligible in the sum
_C0, _C1, _C2, _C3, _C4, _C5 = (  # 2^x on [-0.5, 0.5], relative error 8e-8, fitted at Chebyshev nodes
    np.float32(coefficient) for coefficient in (1.00000007, 0.69314695, 0.24022122, 0.05550743, 0.00967546, 0.0013267)
)


class Level(NamedTuple):
    """One bilinear upsampling to (H, W).

    Attributes:
        rows: (H, 2) int32 source rows before and after each row.
        row_weight: (H,) float32 weight of the row after.
        columns: (W, 2) int32 source columns before and after each column.
        column_weight: (W,) float32 weight of the column after.
        even: If W is twice the width of the source, the weights of the column after for even columns, which makes the
            look-up of columns unnecessary. Otherwise empty.
        odd: The same for odd columns.
        scale: (H, W) float32 by which the result is multiplied, or empty.
        valid_columns: Number of source columns in use; the rest is padding.
    """

    rows: NDArray[np.int32]
    row_weight: NDArray[np.float32]
    columns: NDArray[np.int32]
    column_weight: NDArray[np.float32]
    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    scale: NDArray[np.float32]
    valid_columns: int


def upsample_argmax(logits: Tensor, levels: Sequence[Level], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Upsample logits and find the winner of each pixel, with as many threads as PyTorch uses.

    Args:
        logits: (K, h, w) float32, finite. No logit may exceed 60, and no winner's may be below -60.
        levels: Upsamplings to ``size`` or wider, in order.
        size: (H, W) of the result.

    Returns:
        (H, W) int32 index of the highest logit, the first of equal ones, and (H, W) float32 softmax of it.
    """
    labels, rows, columns = logits.shape
    groups = -(-labels // _GROUP)
    shape = (groups, rows, _GROUP, columns)
    grouped = torch.from_numpy(_thread_buffer("logits", math.prod(shape))[: math.prod(shape)]).view(shape)
    grouped[-1] = _PADDING_LOGIT  # the last group may have fewer labels
    for position in range(min(_GROUP, labels)):
        group_logits = logits[position::_GROUP]
        torch.mul(
            group_logits, math.log2(math.e), out=grouped[: len(group_logits), :, position]
        )  # 2^x: faster than e^x
    height, width = size
    winner = np.zeros(size, np.int32)
    highest, total = np.full(size, np.float32(-1e30)), np.zeros(size, np.float32)
    threads = torch.get_num_threads()
    bands = -(-height * width // _BAND_PX)
    bands = min(-(-bands // threads) * threads, height)  # the same number for every thread
    needed = _needed_rows(levels, [height * band // bands for band in range(bands + 1)])
    widest = max(columns, *(len(level.columns) for level in levels))
    max_values = int((needed[..., 1] - needed[..., 0]).max()) * _GROUP * widest
    parts = 4 + 2 * len(levels)

    def process(band: int) -> None:
        buffer = _thread_buffer("buffer", parts * max_values)[: parts * max_values].reshape(parts, max_values)
        _process_band(grouped.numpy(), tuple(levels), needed[band], buffer, highest, winner, total)

    share_work(process, bands, threads, "postprocess")
    return torch.from_numpy(winner), torch.from_numpy(highest).exp2_().div_(torch.from_numpy(total))


def _needed_rows(levels: Sequence[Level], ends: Sequence[int]) -> NDArray[np.int64]:
    """Compute the rows of the source and of each level that each band needs.

    Returns:
        (bands, levels + 1, 2), the first row and the last + 1.
    """
    needed = np.empty((len(ends) - 1, len(levels) + 1, 2), np.int64)
    needed[:, -1, 0], needed[:, -1, 1] = ends[:-1], ends[1:]
    for index in reversed(range(len(levels))):
        rows, result = levels[index].rows, needed[:, index + 1]
        needed[:, index, 0], needed[:, index, 1] = rows[result[:, 0], 0], rows[result[:, 1] - 1, 1] + 1
    return needed


def _thread_buffer(name: str, size: int) -> NDArray[np.float32]:
    """Return a buffer of this thread, with ``size`` or more values.

    It is reused, because the page faults of new memory cost as much as the computation.
    """
    buffer: NDArray[np.float32] | None = getattr(_thread_buffers, name, None)
    if buffer is None or len(buffer) < size:
        buffer = np.empty(size, np.float32)
        setattr(_thread_buffers, name, buffer)
    return buffer


# Loops are long and contiguous so that the compiler vectorizes them. A row holds the rows of four labels, one after the
# other, and loops that treat all rows alike run over all of them as if they were one.


@_compile
def _process_band(source, levels, needed, buffer, highest, winner, total):  # type: ignore[no-untyped-def]
    """Compute one band of highest, winner and total.

    Args:
        source: (groups, h, 4, w) logits.
        levels: The upsamplings.
        needed: (levels + 1, 2) rows of the source and of each level.
        buffer: (4 + 2 levels, n) memory to write to.
        highest: (H, W) highest logit.
        winner: (H, W) index of it.
        total: (H, W) sum of 2^logit.
    """
    count, starts, ends = len(levels), needed[:, 0], needed[:, 1]
    wide, rows, halves, weights = buffer[0], buffer[1], buffer[2:4], buffer[4:]
    for index in range(count):
        half = len(levels[index].even)
        for row in range(_GROUP * (ends[index] - starts[index]) if half else 0):
            weights[2 * index, row * half : (row + 1) * half] = levels[index].even
            weights[2 * index + 1, row * half : (row + 1) * half] = levels[index].odd
    for group in range(len(source)):
        columns = source.shape[3]
        size = (ends[0] - starts[0]) * _GROUP * columns
        rows[:size] = source[group].reshape(-1)[starts[0] * _GROUP * columns : ends[0] * _GROUP * columns]
        for index in range(count):
            level = levels[index]
            if level.valid_columns < columns:
                size = _crop_columns(rows[:size], columns, level.valid_columns)
                columns = level.valid_columns
            _upsample_columns(rows[:size], columns, level, weights[2 * index], weights[2 * index + 1], halves, wide)
            columns = len(level.columns)
            if index < count - 1:
                _upsample_rows(wide, starts[index], level, starts[index + 1], ends[index + 1], rows)
                size = (ends[index + 1] - starts[index + 1]) * _GROUP * columns
        level, row_size = levels[count - 1], _GROUP * columns
        for y in range(starts[count], ends[count]):
            upper = (level.rows[y, 0] - starts[count - 1]) * row_size
            lower = (level.rows[y, 1] - starts[count - 1]) * row_size
            above = wide[upper : upper + row_size].reshape((_GROUP, columns))
            below = wide[lower : lower + row_size].reshape((_GROUP, columns))
            _update_best(above, below, level.row_weight[y], np.int32(group * _GROUP), highest[y], winner[y], total[y])


@_compile
def _crop_columns(rows, columns, valid_columns):  # type: ignore[no-untyped-def]
    """Crop consecutive rows to their first columns, in place. Returns the new total size."""
    count = len(rows) // columns
    for row in range(1, count):
        for x in range(valid_columns):
            rows[row * valid_columns + x] = rows[row * columns + x]
    return count * valid_columns


@_compile
def _upsample_columns(source, columns, level, even_weight, odd_weight, halves, wide):  # type: ignore[no-untyped-def]
    """Upsample consecutive source rows of a level to the width of the level."""
    if len(level.even):
        count = len(source)
        even, odd = halves[0], halves[1]
        for x in range(1, count):
            even[x] = source[x - 1] + even_weight[x] * (source[x] - source[x - 1])
        for x in range(count - 1):
            odd[x] = source[x] + odd_weight[x] * (source[x + 1] - source[x])
        for x in range(0, count, columns):  # the first and the last column of a row have only one neighbor
            even[x], odd[x + columns - 1] = source[x], source[x + columns - 1]
        for x in range(count):
            wide[2 * x] = even[x]
            wide[2 * x + 1] = odd[x]
    else:
        width = len(level.columns)
        for row in range(len(source) // columns):
            old, new = source[row * columns : (row + 1) * columns], wide[row * width : (row + 1) * width]
            for x in range(width):
                left = old[level.columns[x, 0]]
                new[x] = left + level.column_weight[x] * (old[level.columns[x, 1]] - left)


@_compile
def _upsample_rows(wide, start, level, first, last, result):  # type: ignore[no-untyped-def]
    """Compute rows ``first`` to ``last`` of a level from source rows at its width.

    The source rows begin with row ``start``.
    """
    width = len(level.columns)
    size = _GROUP * width
    for y in range(first, last):
        upper, lower = (level.rows[y, 0] - start) * size, (level.rows[y, 1] - start) * size
        above, below, weight = wide[upper : upper + size], wide[lower : lower + size], level.row_weight[y]
        row = result[(y - first) * size : (y - first + 1) * size]
        for x in range(size):
            row[x] = above[x] + weight * (below[x] - above[x])
        if len(level.scale):
            scale = level.scale[y]
            for offset in range(0, size, width):
                for x in range(width):
                    row[offset + x] *= scale[x]


@_compile
def _update_best(above, below, weight, first_label, highest, winner, total):  # type: ignore[no-untyped-def]
    """Interpolate the logits of four labels between two rows, and update the best label.

    The highest logit and the sum of 2^logit are updated too.
    """
    for x in range(len(highest)):
        best, best_label, powers = highest[x], winner[x], total[x]
        for position in range(_GROUP):
            logit = above[position, x] + weight * (below[position, x] - above[position, x])
            exponent = max(logit, _MIN_EXPONENT)
            rounded = np.float32(exponent + _ROUNDER)
            rest = exponent - (rounded - _ROUNDER)
            power = ((((_C5 * rest + _C4) * rest + _C3) * rest + _C2) * rest + _C1) * rest + _C0  # 2^rest
            # The low bits of ``rounded`` hold the integer part, which is added to the exponent bits of ``power``.
            bits = np.int32((rounded.view(np.int32) << np.int32(23)) + np.float32(power).view(np.int32))
            powers += bits.view(np.float32)
            best_label = first_label + np.int32(position) if logit > best else best_label
            best = max(logit, best)
        highest[x], winner[x], total[x] = best, best_label, powers
