"""Upsampling, softmax and arg max in one pass over what is in a CPU's cache, compiled by Numba where it is installed.

PyTorch makes a pass of each operation, six for every logit at full size, and with many labels these are the frame's
time. Here the rows of four labels are upsampled into the cache, and the pixels' bests and sums meet them at once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["AVAILABLE", "Level", "upsample_argmax"]

try:
    from numba import njit
except ImportError:  # an extra: without it PyTorch computes the same
    AVAILABLE = False

    def njit(**_: Any) -> Any:  # type: ignore[no-redef]
        """Leave a function as it is."""
        return lambda function: function

else:
    AVAILABLE = True


def _compiled(function: Any) -> Any:
    """Compiled at its first call and kept on disk, where there is a place to keep it, for the next process."""
    options: Any = {"nogil": True, "fastmath": {"contract", "nsz"}}  # no reordering: nothing depends on vector length
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # a package and a home that cannot be written to
        return njit(**options)(function)


_memory = threading.local()
_BAND = 16_000  # pixels: what is known of them, and the logits of the labels that meet them at once, stay in the cache
_AT_ONCE = 4  # labels
_NOBODYS = -1e6  # logit of a label that there is not: far behind, and still a number whatever it is scaled by
_ROUNDER = np.float32(1.5 * 2**23)  # added to a float32 and subtracted again, it leaves the nearest whole number
_LEAST = np.float32(-120)  # 2^-120 is a normal number, and nothing beside what may win
_C0, _C1, _C2, _C3, _C4, _C5 = (  # 2^x on [-0.5, 0.5] to 8e-8 of itself, fitted with Chebyshev's nodes
    np.float32(each) for each in (1.00000007, 0.69314695, 0.24022122, 0.05550743, 0.00967546, 0.0013267)
)


class Level(NamedTuple):
    """A bilinear upsampling: between which rows (H, 2) and columns (W, 2) of its source a pixel lies, and how far on.

    rows, columns: int32; row_share, column_share: float32, of the second. even, odd: where W is twice the source's
    width, the shares of the pixel after next for even and odd columns, which spares the look-up; else empty.
    scale: (H, W) float32 to multiply with, or empty. valid_size: columns of the source that count.
    """

    rows: NDArray[np.int32]
    row_share: NDArray[np.float32]
    columns: NDArray[np.int32]
    column_share: NDArray[np.float32]
    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    scale: NDArray[np.float32]
    valid_size: int


def upsample_argmax(logits: Tensor, levels: Sequence[Level], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Logits (K, h, w) and what upsamples them, to ``size`` or wider -> winner and its softmax, (H, W) each.

    No logit may be above 60, no winner's below -60. Of equals the first wins. As many threads as PyTorch has.
    """
    labels, rows, columns = logits.shape
    groups = -(-labels // _AT_ONCE)
    shape = (groups, rows, _AT_ONCE, columns)
    grouped = torch.from_numpy(_kept("logits", math.prod(shape))[: math.prod(shape)]).view(shape)
    grouped[-1] = _NOBODYS  # the last few may be nobody's
    for each in range(min(_AT_ONCE, labels)):
        some = logits[each::_AT_ONCE]
        torch.mul(some, math.log2(math.e), out=grouped[: len(some), :, each])  # powers of 2 are quicker than of e
    height, width = size
    winner = np.empty(size, np.int32)
    highest, total = np.full(size, np.float32(-1e30)), np.zeros(size, np.float32)
    threads = torch.get_num_threads()
    bands = -(-height * width // _BAND)
    bands = min(-(-bands // threads) * threads, height)  # as many for every thread
    needed = _needed(levels, [height * number // bands for number in range(bands + 1)])
    widest = max(columns, *(len(level.columns) for level in levels))
    most = int((needed[..., 1] - needed[..., 0]).max()) * _AT_ONCE * widest
    left = iter(range(bands))  # whoever is free takes the next

    def work() -> None:
        parts = 4 + 2 * len(levels)
        spare = _kept("spare", parts * most)[: parts * most].reshape(parts, most)
        for number in left:
            _band(grouped.numpy(), tuple(levels), needed[number], spare, highest, winner, total)

    helpers = [_pool(threads).submit(work) for _ in range(min(threads, bands) - 1)]
    work()
    for helper in helpers:
        helper.result()
    return torch.from_numpy(winner), torch.from_numpy(highest).exp2_().div_(torch.from_numpy(total))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(threads - 1, 1), "fused")


def _needed(levels: Sequence[Level], ends: Sequence[int]) -> NDArray[np.int64]:
    """(bands, levels + 1, 2): which rows, from and to, each band needs of the source and of every level's result."""
    needed = np.empty((len(ends) - 1, len(levels) + 1, 2), np.int64)
    needed[:, -1, 0], needed[:, -1, 1] = ends[:-1], ends[1:]
    for number in reversed(range(len(levels))):
        rows, after = levels[number].rows, needed[:, number + 1]
        needed[:, number, 0], needed[:, number, 1] = rows[after[:, 0], 0], rows[after[:, 1] - 1, 1] + 1
    return needed


def _kept(name: str, size: int) -> NDArray[np.float32]:
    """Memory (size or more,) that this thread had before: page faults of new memory cost as much as the work."""
    found: NDArray[np.float32] | None = getattr(_memory, name, None)
    if found is None or len(found) < size:
        found = np.empty(size, np.float32)
        setattr(_memory, name, found)
    return found


# Loops are long and contiguous, or they would not be made of vector instructions: a row is that of four labels, and
# where no row needs a share of its own all rows are one.


@_compiled
def _band(source, levels, needed, spare, highest, winner, total):  # type: ignore[no-untyped-def]
    """A band of highest, winner and total. source: (groups, h, 4, w). spare: memory to write to."""
    count, starts, ends = len(levels), needed[:, 0], needed[:, 1]
    wide, made, halves, shares = spare[0], spare[1], spare[2:4], spare[4:]
    for number in range(count):
        half = len(levels[number].even)
        for row in range(_AT_ONCE * (ends[number] - starts[number]) if half else 0):
            shares[2 * number, row * half : (row + 1) * half] = levels[number].even
            shares[2 * number + 1, row * half : (row + 1) * half] = levels[number].odd
    for group in range(len(source)):
        columns = source.shape[3]
        size = (ends[0] - starts[0]) * _AT_ONCE * columns
        made[:size] = source[group].reshape(-1)[starts[0] * _AT_ONCE * columns : ends[0] * _AT_ONCE * columns]
        for number in range(count):
            level = levels[number]
            if level.valid_size < columns:
                size = _cut(made[:size], columns, level.valid_size)
                columns = level.valid_size
            _widen(made[:size], columns, level, shares[2 * number], shares[2 * number + 1], halves, wide)
            columns = len(level.columns)
            if number < count - 1:
                _mix(wide, starts[number], level, starts[number + 1], ends[number + 1], made)
                size = (ends[number + 1] - starts[number + 1]) * _AT_ONCE * columns
        level, row_size = levels[count - 1], _AT_ONCE * columns
        for y in range(starts[count], ends[count]):
            upper = (level.rows[y, 0] - starts[count - 1]) * row_size
            lower = (level.rows[y, 1] - starts[count - 1]) * row_size
            above = wide[upper : upper + row_size].reshape((_AT_ONCE, columns))
            below = wide[lower : lower + row_size].reshape((_AT_ONCE, columns))
            _meet(above, below, level.row_share[y], np.int32(group * _AT_ONCE), highest[y], winner[y], total[y])


@_compiled
def _cut(rows, columns, valid_size):  # type: ignore[no-untyped-def]
    """Cut rows that lie one after the other to their first columns, in place; returns what they take then."""
    count = len(rows) // columns
    for row in range(1, count):
        for x in range(valid_size):
            rows[row * valid_size + x] = rows[row * columns + x]
    return count * valid_size


@_compiled
def _widen(source, columns, level, even_share, odd_share, halves, wide):  # type: ignore[no-untyped-def]
    """Rows of a level's source, one after the other, at the level's width."""
    if len(level.even):
        count = len(source)
        even, odd = halves[0], halves[1]
        for x in range(1, count):
            even[x] = source[x - 1] + even_share[x] * (source[x] - source[x - 1])
        for x in range(count - 1):
            odd[x] = source[x] + odd_share[x] * (source[x + 1] - source[x])
        for x in range(0, count, columns):  # where a row ends there is no neighbor
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
                new[x] = left + level.column_share[x] * (old[level.columns[x, 1]] - left)


@_compiled
def _mix(wide, start, level, first, last, made):  # type: ignore[no-untyped-def]
    """Rows first to last of a level, from rows at its width of which the first is ``start``."""
    width = len(level.columns)
    size = _AT_ONCE * width
    for y in range(first, last):
        upper, lower = (level.rows[y, 0] - start) * size, (level.rows[y, 1] - start) * size
        above, below, share = wide[upper : upper + size], wide[lower : lower + size], level.row_share[y]
        row = made[(y - first) * size : (y - first + 1) * size]
        for x in range(size):
            row[x] = above[x] + share * (below[x] - above[x])
        if len(level.scale):
            scale = level.scale[y]
            for each in range(0, size, width):
                for x in range(width):
                    row[each + x] *= scale[x]


@_compiled
def _meet(upper, lower, share, label, highest, winner, total):  # type: ignore[no-untyped-def]
    """The logits of labels from ``label`` on, between two rows, meet the highest so far, whose it is, and the sum."""
    for x in range(len(highest)):
        best, whose, powers = highest[x], winner[x], total[x]
        for each in range(_AT_ONCE):
            logit = upper[each, x] + share * (lower[each, x] - upper[each, x])
            exponent = max(logit, _LEAST)
            rounded = np.float32(exponent + _ROUNDER)
            rest = exponent - (rounded - _ROUNDER)
            power = ((((_C5 * rest + _C4) * rest + _C3) * rest + _C2) * rest + _C1) * rest + _C0  # 2^rest
            # what was rounded to stands in the last bits of ``rounded``, and goes to the exponent
            bits = np.int32((rounded.view(np.int32) << np.int32(23)) + np.float32(power).view(np.int32))
            powers += bits.view(np.float32)
            whose = label + np.int32(each) if logit > best else whose
            best = max(logit, best)
        highest[x], winner[x], total[x] = best, whose, powers
