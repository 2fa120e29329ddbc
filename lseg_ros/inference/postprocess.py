"""Postprocessing: logits to label map and confidence, at the size of the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.inference import postprocess_numba
from lseg_ros.inference.embeddings import PixelEmbeddings
from lseg_ros.model.decoder import upsample2x
from lseg_ros.vocabulary import UNLABELED

__all__ = ["Level", "build_levels", "neighbors", "postprocess", "similarity", "upsample"]

# Logits at full size exist for a few rows at a time: all 254 labels at 1280x720 would take a gigabyte.
_MAX_VALUES = {"cpu": 1 << 20, "cuda": 1 << 26}
_FAR = 1e30  # its product with any difference of two logits exceeds the number of labels
_MIN_NORM = 1e-12  # shorter embeddings have no direction; F.normalize has the same limit
_NEVER = 1e6  # a logit that is this much lower than the highest never wins

_ReadRows = Callable[[int, int], Tensor]  # rows first to last, as (last - first, K, W)


def postprocess(
    logits: Tensor,
    valid_size: tuple[int, int],
    size: tuple[int, int],
    ids: Tensor,
    unlabeled_threshold: float = 0.0,
    norm: Tensor | None = None,
) -> Tensor:
    """Turn logits into a label map and confidence.

    Upsampling is that of the official code, x2 bilinear with ``align_corners=True``; then the padding is cut off. If
    the image was resized for the network, a second upsampling (bilinear, aligned pixel areas, like the resizing)
    restores its size.

    Args:
        logits: (1, K, h'/2, w'/2) logits; with ``norm``, (1, K, h'/4, w'/4) of embeddings that are not normalized.
        valid_size: (h, w) of the part of the network's input that shows the image.
        size: (H, W) of the image.
        ids: (K,) value of each label in the label map, of any integer type, on the device of the logits.
        unlabeled_threshold: A pixel is unlabeled if the softmax of its winning label is below this, from 0 to 1.
        norm: (1, 1, h'/2, w'/2) lengths of the embeddings; the logits are upsampled x2 and divided by them first.

    Returns:
        (2, H, W) of the dtype of ``ids``: the label map, and the confidence, which is the winner's softmax times 255,
        rounded, at least 1 for a labeled pixel and 0 for an unlabeled one. A pixel is also unlabeled if its softmax is
        NaN, as after an overflow in half precision.
    """
    source = logits[0].float()  # (K, h'/2, w'/2)
    # On a GPU the answer would be one more copy to the host, for which the host waits.
    is_finite = source.device.type == "cpu" and _are_finite(source, norm)
    label = _postprocess_finite if is_finite else _postprocess_nonfinite
    return label(source, valid_size, size, ids, unlabeled_threshold, norm)


def _postprocess_finite(
    source: Tensor,
    valid_size: tuple[int, int],
    size: tuple[int, int],
    ids: Tensor,
    unlabeled_threshold: float,
    norm: Tensor | None,
) -> Tensor:
    """Postprocess finite logits (K, h, w) float32; see ``_postprocess_nonfinite``."""
    levels = build_levels(source[None], valid_size, size, norm)
    if postprocess_numba.AVAILABLE and source.device.type == "cpu":
        if norm is None:  # these logits may have any magnitude; those of pixel and text embeddings are bounded
            source = source - source.amax(dim=0)
        numba_levels = [level.to_numba() for level in levels]
        winner, probability = postprocess_numba.upsample_argmax(source, numba_levels, size)  # (H, W) each
    else:
        winner, probability = _upsample_argmax(source, levels, size)  # (H, W) each
    confidence = (probability * 255).round_().clamp_(1, 255).to(torch.uint8)
    label_map = ids[winner.long()]
    if unlabeled_threshold > 0:
        uncertain = probability < unlabeled_threshold
        label_map.masked_fill_(uncertain, UNLABELED)
        confidence.masked_fill_(uncertain, 0)
    return torch.stack([label_map, confidence])


def _are_finite(source: Tensor, norm: Tensor | None) -> bool:
    """Return whether all logits are finite and can be divided by the norm."""
    finite = source.sum().isfinite()  # a sum that overflows only leads to the slower code
    if norm is not None:
        shortest, longest = norm.aminmax()
        finite = finite & (shortest >= _MIN_NORM) & longest.isfinite()
    return bool(finite)


def _postprocess_nonfinite(
    source: Tensor,
    valid_size: tuple[int, int],
    size: tuple[int, int],
    ids: Tensor,
    unlabeled_threshold: float,
    norm: Tensor | None,
) -> Tensor:
    """Postprocess logits of which some may not be finite.

    Interpolation multiplies values with zero weights, which spreads NaN and infinity. So they are replaced, and the
    pixels that depend on them are unlabeled afterwards.

    Args:
        source: (K, h, w) float32 logits.
        valid_size: As in ``postprocess``, like the other arguments and the result.
        size: (H, W) of the image.
        ids: (K,) value of each label.
        unlabeled_threshold: Lowest softmax of a labeled pixel.
        norm: Lengths of the embeddings.
    """
    below = source.isneginf()
    undefined = source.isnan().any(dim=0) | source.isposinf().any(dim=0) | below.all(dim=0)  # (h, w)
    highest = source.masked_fill(below, torch.finfo(source.dtype).min).amax(dim=0)
    source = torch.where(below, highest - _NEVER, source).masked_fill(undefined, 0.0)
    if norm is not None:
        no_direction = ~((norm >= _MIN_NORM) & norm.isfinite())  # (1, 1, 2h, 2w)
        norm = norm.masked_fill(no_direction, 1.0)
    labeled = _postprocess_finite(source, valid_size, size, ids, unlabeled_threshold, norm)
    levels = build_levels(source[None], valid_size, size, norm)
    if norm is not None:
        undefined = _spread(undefined, levels[:1]) | no_direction[0, 0]
        levels = levels[1:]
    return labeled.masked_fill_(_spread(undefined, levels)[: size[0], : size[1]], UNLABELED)


def _spread(undefined: Tensor, levels: Sequence[Level]) -> Tensor:
    """Find the pixels of the last level that depend on undefined pixels (h, w) of the source."""
    read_rows = _chain_levels(undefined.float()[:, None], levels)
    return read_rows(0, levels[-1].size[0])[:, 0] > 0


def upsample(logits: Tensor, valid_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Upsample like ``postprocess``, but the whole image at once.

    Args:
        logits: (1, k, h'/2, w'/2).
        valid_size: As in ``postprocess``.
        size: (H, W) of the image.

    Returns:
        (k, H, W) float32.
    """
    logits = upsample2x(logits.float())[..., : valid_size[0], : valid_size[1]]  # (1, k, h, w)
    if valid_size != size:
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return logits[0]


@torch.inference_mode()
def similarity(embedded: PixelEmbeddings, word: Tensor) -> NDArray[np.float32]:
    """Compute the cosine similarity of every pixel and a text, upsampled like the labels.

    These are the logits without their scale of 1/0.07 and without the spatial regularization of the paper's
    section 3.4, which compares several labels. A pixel whose embedding is not finite has similarity -1.

    Args:
        embedded: The pixel embeddings of an image of (H, W) pixels.
        word: (C,) embedding of the text, of unit norm.

    Returns:
        (H, W) float32 from -1 to 1.
    """
    low_res = F.conv2d(embedded.low_res.float(), word[None, :, None, None])  # (1, 1, h'/4, w'/4)
    cosine = upsample2x(low_res).div_(embedded.norm)  # (1, 1, h'/2, w'/2)
    pixels = upsample(cosine, embedded.valid_size, embedded.size)[0]  # (H, W)
    result: NDArray[np.float32] = pixels.clamp_(-1, 1).nan_to_num_(-1.0).cpu().numpy()
    return result


@dataclass(frozen=True, eq=False)
class Level:
    """One bilinear upsampling.

    Attributes:
        source: (h, w) of the part of the source that is in use; the rest is padding.
        size: (H, W) of the result.
        align_corners: As for ``F.interpolate``.
        norm: (H, W) by which the result is divided.
    """

    source: tuple[int, int]
    size: tuple[int, int]
    align_corners: bool
    norm: Tensor | None = None

    def to_numba(self) -> postprocess_numba.Level:
        """Convert to the arrays that the compiled code reads."""
        height, width = self.source
        rows, row_weight = neighbors(height, self.size[0], self.align_corners)
        columns, column_weight = neighbors(width, self.size[1], self.align_corners)
        even = odd = np.empty(0, np.float32)
        # Result column 2i lies before source column i, column 2i + 1 after it.
        if self.size[1] == 2 * width:
            position = columns[:, 0].astype(np.float32) + column_weight  # in source columns
            offset = position.reshape(-1, 2) - np.arange(width, dtype=np.float32)[:, None]
            even, odd = offset[:, 0] + 1, np.ascontiguousarray(offset[:, 1])
        scale = torch.empty(0, 0) if self.norm is None else 1 / self.norm.contiguous()
        return postprocess_numba.Level(
            rows=rows,
            row_weight=row_weight,
            columns=columns,
            column_weight=column_weight,
            even=even,
            odd=odd,
            scale=scale.numpy(),
            valid_columns=width,
        )


def build_levels(
    logits: Tensor, valid_size: tuple[int, int], size: tuple[int, int], norm: Tensor | None
) -> list[Level]:
    """Return the upsamplings of ``postprocess`` in order; the last may exceed the image."""
    height, width = logits.shape[2:]
    levels = []
    if norm is not None:
        levels.append(Level((height, width), (2 * height, 2 * width), True, norm[0, 0]))
        height, width = 2 * height, 2 * width
    levels.append(Level((height, width), (2 * height, 2 * width), True))
    return levels if valid_size == size else [*levels, Level(valid_size, size, False)]


@lru_cache(maxsize=64)  # the same for every frame of a camera
def neighbors(source: int, size: int, align_corners: bool) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Locate ``size`` points among ``source`` points, as ``F.interpolate`` does.

    Returns:
        (size, 2) indices of the source points before and after each point, and (size,) weights of the ones after.
    """
    position = np.arange(size, dtype=np.float32)  # (size,)
    if align_corners:
        position *= np.float32((source - 1) / (size - 1))
    else:
        position = ((position + np.float32(0.5)) * np.float32(source / size) - np.float32(0.5)).clip(min=0)
    first = np.minimum(position.astype(np.int32), source - 1)
    return np.stack([first, np.minimum(first + 1, source - 1)], axis=1), position - first.astype(np.float32)


@lru_cache(maxsize=256)  # the same for every frame of a camera, so a GPU receives them once
def _row_weights(
    source: int, size: int, align_corners: bool, first: int, last: int, device: torch.device
) -> tuple[int, int, Tensor]:
    """Compute the weights of the source rows for rows ``first`` to ``last`` of ``size`` rows.

    Returns:
        First and last + 1 of the n source rows, and their weights (last - first, n) on the device.
    """
    rows, weight = (table[first:last] for table in neighbors(source, size, align_corners))
    start, end = int(rows[0, 0]), int(rows[-1, 1]) + 1
    weights, row = np.zeros((last - first, end - start), np.float32), np.arange(last - first)
    weights[row, rows[:, 0] - start] = 1 - weight
    weights[row, rows[:, 1] - start] += weight  # the last source row is its own neighbor
    return start, end, torch.from_numpy(weights).to(device)


def _upsample_argmax(source: Tensor, levels: list[Level], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Logits (K, h, w) -> winner and its softmax, (H, W) each, with PyTorch on bands of rows."""
    labels = len(source)
    read_rows = _chain_levels(source.permute(1, 0, 2) * math.log2(math.e), levels)  # 2^x is faster than e^x
    step = min(max(_MAX_VALUES.get(source.device.type, 1 << 20) // (labels * size[1]), 1), size[0])
    ends = [*range(step, size[0], step), size[0]]
    buffer = source.new_empty(step, labels, size[1])
    bands = [_argmax_and_sum(read_rows(first, last)[..., : size[1]], buffer) for first, last in zip([0, *ends], ends)]
    winner, total = (torch.cat(parts) for parts in zip(*bands))  # (H, W) each
    return winner, 1 / total  # the winner's softmax: 2^(max - max) over the sum of 2^(logit - max)


def _chain_levels(source: Tensor, levels: Sequence[Level]) -> _ReadRows:
    """Return a function that reads rows of the source (h, K, w) after all levels."""

    def read_rows(first: int, last: int) -> Tensor:
        return source[first:last]

    for level in levels:
        read_rows = _RowReader(level, read_rows, source.new_empty(0, source.shape[1], level.size[1]))
    return read_rows


class _RowReader:
    """Read the rows of a level from top to bottom.

    A call returns the rows from ``first`` to ``last`` as (last - first, K, W); the next call overwrites them. Source
    rows that the next rows need again are kept, so each is computed once. Buffers are reused, because the page
    faults of new memory take as long as the computation.
    """

    def __init__(self, level: Level, read_source: _ReadRows, empty: Tensor) -> None:
        self._level = level
        self._read_source = read_source
        self._start = self._end = 0  # range of source rows in _wide
        self._wide = self._result = empty  # source rows at the width of the level, and the result; (n, K, W)

    def __call__(self, first: int, last: int) -> Tensor:
        level = self._level
        start, end, weights = _row_weights(
            level.source[0], level.size[0], level.align_corners, first, last, self._wide.device
        )
        if end > self._end:
            self._advance(start, end)
        wide = self._wide[start - self._start : end - self._start]
        self._result = _grow(self._result, last - first)
        result = self._result[: last - first]
        torch.mm(weights, wide.flatten(1), out=result.flatten(1))
        return result if level.norm is None else result.div_(level.norm[first:last, None])

    def _advance(self, start: int, end: int) -> None:
        level = self._level
        added = self._read_source(max(start, self._end), end)[..., : level.source[1]]  # (n, K, w)
        kept = self._wide[start - self._start : self._end - self._start]  # at most a few rows
        if start - self._start < len(kept):  # source and destination of the copy would overlap
            kept = kept.clone()
        self._wide = _grow(self._wide, end - start)
        self._wide[: len(kept)] = kept
        wide = self._wide[len(kept) : end - start]
        torch.ops.aten.upsample_linear1d.out(added, [level.size[1]], level.align_corners, None, out=wide)
        self._start, self._end = start, end


def _grow(buffer: Tensor, rows: int) -> Tensor:
    """Return the buffer, or a new one if it has fewer rows."""
    return buffer if len(buffer) >= rows else buffer.new_empty(rows, *buffer.shape[1:])


def _argmax_and_sum(logits: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the index of the highest logit and the sum of 2^(logit - highest).

    Args:
        logits: (n, K, W); overwritten.
        buffer: (n or more, K, W) memory to write to: the page faults of new memory cost more than the arithmetic.

    Returns:
        (n, W) int64 and (n, W) float32.
    """
    labels = logits.shape[1]
    difference = logits.sub_(logits.amax(dim=1, keepdim=True))  # 0 for the highest, negative for the others
    # The first of equal logits wins, as in argmax, which takes several times as long.
    order = torch.arange(labels, 0, -1, dtype=difference.dtype, device=difference.device)[:, None]  # (K, 1)
    winner = labels - torch.add(order, difference, alpha=_FAR, out=buffer[: len(difference)]).amax(dim=1)
    return winner.long(), difference.exp2_().sum(dim=1)
