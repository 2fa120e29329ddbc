"""Upsampling, softmax and arg max on a GPU in one pass, compiled by Triton.

PyTorch upsamples the logits of all labels to full size. But every pixel is a weighted sum of at most 3x3 low-resolution
logits, and the weights are the same for all labels. So a thread computes the weights of its pixel once, then reads the
labels one after the other and keeps the best one and the sum of the softmax.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, no_type_check

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lseg_ros.inference.postprocess import build_levels, neighbors

__all__ = ["AVAILABLE", "kernel", "postprocess"]

try:
    import triton
    import triton.language as tl
except ImportError:  # PyTorch for other systems comes without it
    AVAILABLE = False
else:
    AVAILABLE = True

_PIXELS = 128  # per program, one per thread
_MIN_SOURCES = 3  # along each axis; fewer would need another compilation
_ARGUMENTS = (  # that may have any value without another compilation
    "label_stride", "row_stride", "column_stride", "norm_row_stride", "norm_column_stride",
    "labels", "height", "width", "threshold",
)  # fmt: skip

_Axis = tuple[tuple[int, int, bool], ...]  # source, size and align_corners of each upsampling along one axis


def postprocess(
    logits: Tensor,
    valid_size: tuple[int, int],
    size: tuple[int, int],
    ids: Tensor,
    unlabeled_threshold: float = 0.0,
    norm: Tensor | None = None,
    *,
    function: Any = None,
) -> Tensor:
    """Turn logits into a label map and confidence, like the function of ``postprocess.py``.

    Args:
        logits: As for that function, like the other arguments and the result.
        valid_size: (h, w) of the part of the network's input that shows the image.
        size: (H, W) of the image.
        ids: (K,) value of each label in the label map.
        unlabeled_threshold: Lowest softmax of a labeled pixel.
        norm: Lengths of the embeddings, or None.
        function: What to launch instead of ``kernel``, for example the same function in Triton's interpreter.
    """
    source = logits[0].float()  # (K, h, w)
    levels = build_levels(logits, valid_size, size, norm)
    rows, columns = (
        tuple((level.source[axis], level.size[axis], level.align_corners) for level in levels) for axis in (0, 1)
    )
    *tables, middles, sources = _tables(rows, columns, size, norm is not None, source.device)
    lengths = source[0] if norm is None else norm[0, 0]  # (2h, 2w); without a norm it is not read
    result = torch.empty(2, *size, dtype=ids.dtype, device=source.device)
    grid = (-(-size[0] * size[1] // _PIXELS),)
    with torch.cuda.device_of(source):
        (function or kernel)[grid](
            source, *source.stride(), lengths, *lengths.stride(), ids, result, len(source), *size, unlabeled_threshold,
            *tables, HAS_NORM=norm is not None, MIDDLES=middles, SOURCES=sources, PIXELS=_PIXELS,
        )  # fmt: skip
    return result


@lru_cache(maxsize=64)  # the same for every frame of a camera, so a GPU receives them once
def _tables(
    rows: _Axis, columns: _Axis, size: tuple[int, int], has_norm: bool, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
    """Compute the four tables of the kernel, and its numbers of middles and sources."""
    axes = [_compose(axis, count, has_norm) for axis, count in zip((rows, columns), size)]
    middles = max(middle.shape[1] for middle, _, _ in axes)
    sources = max(_MIN_SOURCES, *(source.shape[1] for _, source, _ in axes))
    tables = []
    for middle, source, weight in axes:  # (n, M), (n, S), (n, M, S); padding has no weight
        added = (middles - middle.shape[1], sources - source.shape[1])
        index = [np.pad(part, ((0, 0), (0, count)), mode="edge") for part, count in zip((middle, source), added)]
        padded = np.pad(weight, ((0, 0), (0, added[0]), (0, added[1])))
        tables += [torch.from_numpy(np.concatenate(index, axis=1)).to(device), torch.from_numpy(padded).to(device)]
    return tables[0], tables[1], tables[2], tables[3], middles, sources


def _compose(
    axis: _Axis, count: int, has_norm: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Compose the upsamplings along an axis.

    Args:
        axis: The upsamplings, in order.
        count: Number of points of the last one to compute.
        has_norm: The result of the first one is divided by a norm.

    Returns:
        (count, M) middles: points of the norm that each point depends on, or zeros; (count, S) sources: points of the
        first upsampling's source that it depends on; and (count, M, S) weights. Without a weight, an index repeats.
    """
    index, weight = np.arange(count, dtype=np.int32)[:, None], np.ones((count, 1), np.float32)
    for level in reversed(axis[1:] if has_norm else axis):
        index, weight = _neighbor_weights(index, weight, level)  # (n, t, 2) each
        index, weight = index.reshape(count, -1), weight.reshape(count, -1)
    if not has_norm:
        return np.zeros((count, 1), np.int32), *_collect(index[:, None], weight[:, None])
    middle, middle_weight = _collect(index[:, None], weight[:, None])
    return middle, *_collect(*_neighbor_weights(middle, middle_weight[:, 0], axis[0]))


def _neighbor_weights(
    index: NDArray[np.int32], weight: NDArray[np.float32], level: tuple[int, int, bool]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Replace (n, m) weighted points of a result by (n, m, 2) of the source."""
    neighbor, after = neighbors(*level)
    share = np.stack([1 - after[index], after[index]], axis=-1)  # (n, m, 2)
    return neighbor[index], weight[..., None] * share


def _collect(index: NDArray[np.int32], weight: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Add up the weights (n, m, t) of equal indices.

    Returns:
        (n, S) consecutive indices and (n, m, S) weights. An index that has no weight is replaced by the first, so that
        the kernel reads nothing that must not matter.
    """
    used = weight > 0
    first = np.where(used, index, np.iinfo(np.int32).max).min(axis=(1, 2))  # (n,)
    offset = np.where(used, index - first[:, None, None], 0)
    collected = np.zeros((*weight.shape[:2], int(offset.max()) + 1), np.float32)
    n, m = np.ogrid[: weight.shape[0], : weight.shape[1]]
    np.add.at(collected, (n[..., None], m[..., None], offset), weight)
    shift = np.arange(collected.shape[2], dtype=np.int32) * (collected > 0).any(axis=1)  # (n, S)
    return (first[:, None] + shift).astype(np.int32), collected


def _jit(function: Any) -> Any:
    """Compile a function at its first launch, once for all sizes."""
    return triton.jit(do_not_specialize=_ARGUMENTS)(function) if AVAILABLE else function


@_jit
@no_type_check
def kernel(
    logits,
    label_stride,
    row_stride,
    column_stride,
    norm,
    norm_row_stride,
    norm_column_stride,
    ids,
    result,
    labels,
    height,
    width,
    threshold,
    row_index,
    row_weight,
    column_index,
    column_weight,
    SOURCES: tl.constexpr,
    MIDDLES: tl.constexpr,
    HAS_NORM: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Compute label and confidence of ``PIXELS`` pixels.

    A pixel that depends on a logit of NaN or infinity, or on a norm that is not a positive number, is unlabeled. The
    constants are those of ``lseg_ros.inference.postprocess``.

    Args:
        logits: (K, h, w) float32.
        label_stride: Stride of the logits along K, like the next two.
        row_stride: Stride along h.
        column_stride: Stride along w.
        norm: (2h, 2w) float32 lengths; not read without ``HAS_NORM``.
        norm_row_stride: Stride of the lengths along 2h.
        norm_column_stride: Stride along 2w.
        ids: (K,) value of each label.
        result: (2, H, W) label map and confidence, of the dtype of ``ids``.
        labels: K.
        height: H.
        width: W.
        threshold: Lowest softmax of a labeled pixel.
        row_index: (H, MIDDLES + SOURCES) int32 rows of ``norm`` and of ``logits`` that a row depends on.
        row_weight: (H, MIDDLES, SOURCES) float32 weights.
        column_index: (W, MIDDLES + SOURCES), like the rows.
        column_weight: (W, MIDDLES, SOURCES).
        SOURCES: Number of logits along each axis that a pixel depends on.
        MIDDLES: The same for the lengths; 1 without ``HAS_NORM``.
        HAS_NORM: Divide the logits by the lengths after the first upsampling.
        PIXELS: Pixels per program.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < height * width
    y = tl.where(inside, pixel // width, 0)
    x = tl.where(inside, pixel % width, 0)
    row_index += y * (MIDDLES + SOURCES)
    column_index += x * (MIDDLES + SOURCES)
    row_weight += y * (MIDDLES * SOURCES)
    column_weight += x * (MIDDLES * SOURCES)

    # Weights of the logits: sum over the pixels of the norm of row weight * column weight / norm.
    defined = inside
    weights = ()
    for _ in tl.static_range(SOURCES * SOURCES):
        weights = weights + (tl.full((PIXELS,), 0.0, tl.float32),)
    for p in tl.static_range(MIDDLES):
        for q in tl.static_range(MIDDLES):
            scale = tl.full((PIXELS,), 1.4426950408889634, tl.float32)  # 2^x is faster than e^x
            if HAS_NORM:
                length = tl.load(
                    norm + tl.load(row_index + p) * norm_row_stride + tl.load(column_index + q) * norm_column_stride
                )
                defined = defined & (length >= 1e-12) & (length < float("inf"))
                scale = scale / tl.where(length >= 1e-12, length, 1.0)
            added = ()
            for i in tl.static_range(SOURCES):
                above = tl.load(row_weight + (p * SOURCES + i)) * scale
                for j in tl.static_range(SOURCES):
                    added = added + (weights[i * SOURCES + j] + above * tl.load(column_weight + (q * SOURCES + j)),)
            weights = added
    sources = ()
    for i in tl.static_range(SOURCES):
        for j in tl.static_range(SOURCES):
            row = tl.load(row_index + (MIDDLES + i))
            column = tl.load(column_index + (MIDDLES + j))
            sources = sources + (logits + (row * row_stride + column * column_stride),)

    best = tl.full((PIXELS,), -3e38, tl.float32)  # below every logit
    total = tl.full((PIXELS,), 0.0, tl.float32)  # of 2^(logit - best)
    winner = tl.full((PIXELS,), 0, tl.int32)
    for label in range(labels):
        logit = tl.full((PIXELS,), 0.0, tl.float32)
        for i in tl.static_range(SOURCES * SOURCES):
            value = tl.load(sources[i] + label * label_stride)
            logit += weights[i] * tl.where(value == float("-inf"), -1e30, value)  # 0 * -inf would be NaN
        difference = logit - best
        power = tl.exp2(-tl.abs(difference))
        better = difference > 0
        total = tl.where(better, total * power + 1, total + power)
        winner = tl.where(better, label, winner)
        best = tl.where(better, logit, best)

    probability = 1 / total
    # NaN fails every comparison. A best logit below -1e20: all labels had a logit of -inf.
    labeled = defined & (best > -1e20) & (best < float("inf")) & (total >= 0.5) & (probability >= threshold)
    confidence = tl.floor(probability * 255 + 0.5)
    confidence = tl.where(confidence < 1, 1.0, tl.where(confidence > 255, 255.0, confidence))
    label_id = tl.load(ids + winner)
    tl.store(result + pixel, tl.where(labeled, label_id, 0), mask=inside)
    tl.store(result + height * width + pixel, tl.where(labeled, confidence, 0).to(label_id.dtype), mask=inside)
