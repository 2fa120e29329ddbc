"""Logits -> label map and confidence, at the size of the image."""

from __future__ import annotations

import math
from collections.abc import Callable
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

__all__ = ["postprocess", "similarity", "upsample"]

# Logits at full size exist for a few rows at a time: all 254 at 1280x720 would be a gigabyte.
_MOST_VALUES = {"cpu": 1 << 20, "cuda": 1 << 26}
_FAR = 1e30  # times any difference of two logits: more than any number of labels

_Take = Callable[[int, int], Tensor]  # rows first to last, as (last - first, K, W)


def postprocess(
    logits: Tensor,
    valid_size: tuple[int, int],
    size: tuple[int, int],
    ids: Tensor,
    unlabeled_threshold: float = 0.0,
    norm: Tensor | None = None,
) -> Tensor:
    """Logits (1, K, h'/2, w'/2) -> (2, H, W) uint8: the label map and, second, the confidence.

    valid_size: the (h, w) of the network's input that the image fills. size: (H, W) of the image. ids: (K,) uint8 on
    the logits' device. A pixel whose winner has a softmax below ``unlabeled_threshold`` is unlabeled. Confidence is the
    winner's softmax x 255, rounded, at least 1 where labeled, 0 where not.

    Upsampling is the official one, x2 bilinear with align_corners=True, and then the padding is cut off. Where the
    image had been resized, a second one (bilinear, pixel areas aligned, as the resizing was) leads to its size.

    norm: (1, 1, h'/2, w'/2) where the logits are (1, K, h'/4, w'/4), of embeddings that are not normalized yet: they
    are doubled and divided by it first.
    """
    source = logits[0].float()  # (K, h'/2, w'/2)
    levels = _levels(logits, valid_size, size, norm)
    if postprocess_numba.AVAILABLE and logits.device.type == "cpu":
        if norm is None:  # any height may come: those of pixel embeddings and words are bounded
            source = source - source.amax(dim=0)
        winner, probability = postprocess_numba.upsample_argmax(
            source, [level.fused() for level in levels], size
        )  # (H, W) each
    else:
        winner, probability = _streamed(source, levels, size)  # (H, W) each
    confidence = (probability * 255).round_().clamp_(1, 255).to(torch.uint8)
    label_map = ids[winner.long()]
    if unlabeled_threshold > 0:
        unsure = probability < unlabeled_threshold
        label_map.masked_fill_(unsure, UNLABELED)
        confidence.masked_fill_(unsure, 0)
    return torch.stack([label_map, confidence])


def upsample(logits: Tensor, valid_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(1, k, h'/2, w'/2) -> (k, H, W) float32, all of it at once."""
    logits = upsample2x(logits.float())[..., : valid_size[0], : valid_size[1]]  # (1, k, h, w)
    if valid_size != size:
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return logits[0]


@torch.inference_mode()
def similarity(embedded: PixelEmbeddings, word: Tensor) -> NDArray[np.float32]:
    """Compute the cosine similarity of every pixel and a text, upsampled like the labels.

    This is what the logits are without their scale of 1/0.07, and without the spatial regularization of the paper's
    section 3.4, which compares several labels.

    Args:
        embedded: The pixel embeddings of an image of (H, W) pixels.
        word: (C,) embedding of the text, of unit norm.

    Returns:
        (H, W) float32 from -1 to 1.
    """
    low_res = F.conv2d(embedded.low_res.float(), word[None, :, None, None])  # (1, 1, h'/4, w'/4)
    cosine = upsample2x(low_res).div_(embedded.norm)  # (1, 1, h'/2, w'/2)
    pixels: NDArray[np.float32] = upsample(cosine, embedded.valid_size, embedded.size)[0].clamp(-1, 1).cpu().numpy()
    return pixels


@dataclass(frozen=True, eq=False)
class _Level:
    """One bilinear upsampling. rows, columns: see ``_between``.

    valid_size: columns of the source that count. norm: (H, W) to divide by afterwards.
    """

    rows: tuple[Tensor, Tensor]
    columns: tuple[Tensor, Tensor]
    valid_size: int
    align_corners: bool
    norm: Tensor | None = None

    @property
    def width(self) -> int:
        return len(self.columns[0])

    def fused(self) -> postprocess_numba.Level:
        """The same for ``postprocess_numba.upsample_argmax``."""
        (rows, row_share), (columns, column_share) = self.rows, self.columns
        even = odd = torch.empty(0)
        if (
            self.width == 2 * self.valid_size
        ):  # even columns lie before the source's of half their number, odd ones after
            place = (columns[:, 0] + column_share).view(-1, 2) - torch.arange(self.valid_size)[:, None]
            even, odd = place[:, 0] + 1, place[:, 1].contiguous()
        scale = torch.empty(0, 0) if self.norm is None else 1 / self.norm.contiguous()
        return postprocess_numba.Level(
            rows=rows.int().numpy(),
            row_share=row_share.numpy(),
            columns=columns.int().numpy(),
            column_share=column_share.numpy(),
            even=even.numpy(),
            odd=odd.numpy(),
            scale=scale.numpy(),
            valid_size=self.valid_size,
        )

    def mixing(self, first: int, last: int) -> tuple[int, int, Tensor]:
        """For rows first to last: the source's rows (from, to) that they are made of, and how: (last - first, n)."""
        rows, share = self.rows[0][first:last], self.rows[1][first:last, None]
        start, end = int(rows[0, 0]), int(rows[-1, 1]) + 1
        mix = torch.zeros(last - first, end - start)
        mix.scatter_add_(1, rows[:, :1] - start, 1 - share).scatter_add_(1, rows[:, 1:] - start, share)
        return start, end, mix


def _levels(logits: Tensor, valid_size: tuple[int, int], size: tuple[int, int], norm: Tensor | None) -> list[_Level]:
    height, width = logits.shape[2:]
    levels = []
    if norm is not None:
        levels.append(_level((height, width), (2 * height, 2 * width), True, norm[0, 0]))
        height, width = 2 * height, 2 * width
    levels.append(_level((height, width), (2 * height, 2 * width), True))
    return levels if valid_size == size else [*levels, _level(valid_size, size, False)]


def _level(source: tuple[int, int], size: tuple[int, int], align_corners: bool, norm: Tensor | None = None) -> _Level:
    rows, columns = (_between(old, new, align_corners) for old, new in zip(source, size))
    return _Level(rows, columns, source[1], align_corners, norm)


@lru_cache(maxsize=64)  # every frame of a camera asks for the same
def _between(source: int, size: int, align_corners: bool) -> tuple[Tensor, Tensor]:
    """As ``F.interpolate`` places ``size`` points: the two (size, 2) of the source that each is between, and the share
    (size,) of the second."""
    place = torch.arange(size, dtype=torch.float32)  # (size,)
    if align_corners:
        place *= (source - 1) / (size - 1)
    else:
        place = ((place + 0.5) * (source / size) - 0.5).clamp_(min=0)
    first = place.long().clamp_(max=source - 1)
    return torch.stack([first, (first + 1).clamp_(max=source - 1)], dim=1), place - first


def _streamed(source: Tensor, levels: list[_Level], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Logits (K, h, w) -> winner and its softmax, (H, W) each, by PyTorch's operations on bands of rows."""
    labels = len(source)
    take = _stream(source.permute(1, 0, 2) * math.log2(math.e), levels)  # powers of 2 are quicker than of e
    step = min(max(_MOST_VALUES.get(source.device.type, 1 << 20) // (labels * size[1]), 1), size[0])
    ends = [*range(step, size[0], step), size[0]]
    spare = source.new_empty(step, labels, size[1])
    bands = [_best(take(first, last)[..., : size[1]], spare) for first, last in zip([0, *ends], ends)]
    winner, total = (torch.cat(parts) for parts in zip(*bands))  # (H, W) each
    return winner, 1 / total  # of the winner: 2^(best - best) over the sum of 2^(logit - best)


def _stream(source: Tensor, levels: list[_Level]) -> _Take:
    """What gives rows of the source (h, K, w) after all levels."""

    def take(first: int, last: int) -> Tensor:
        return source[first:last]

    for level in levels:
        take = _Stream(level, take, source.new_empty(0, source.shape[1], level.width))
    return take


class _Stream:
    """Rows of a level, asked for from top to bottom: (last - first, K, W), which the next call overwrites.

    No row is made twice: those of the source that the next ones need again are kept. And memory is asked for once: to
    touch new memory, with its page faults, takes as long as all that is done here.
    """

    def __init__(self, level: _Level, take: _Take, nothing: Tensor) -> None:
        self._level = level
        self._take = take
        self._start = self._end = 0  # of the source's rows that are at hand
        self._wide = self._made = nothing  # these, at the level's width; what is made of them; (n, K, W)

    def __call__(self, first: int, last: int) -> Tensor:
        start, end, mix = self._level.mixing(first, last)
        if end > self._end:
            self._advance(start, end)
        wide = self._wide[start - self._start : end - self._start]
        self._made = _at_least(self._made, last - first)
        made = self._made[: last - first]
        torch.mm(mix.to(made.device), wide.flatten(1), out=made.flatten(1))
        norm = self._level.norm
        return made if norm is None else made.div_(norm[first:last, None])

    def _advance(self, start: int, end: int) -> None:
        level = self._level
        fresh = self._take(max(start, self._end), end)[..., : level.valid_size]  # (n, K, w)
        kept = self._wide[start - self._start : self._end - self._start]  # one or two, if any
        if start - self._start < len(kept):  # they would overlap the place they go to
            kept = kept.clone()
        self._wide = _at_least(self._wide, end - start)
        self._wide[: len(kept)] = kept
        new = self._wide[len(kept) : end - start]
        torch.ops.aten.upsample_linear1d.out(fresh, [level.width], level.align_corners, None, out=new)
        self._start, self._end = start, end


def _at_least(memory: Tensor, rows: int) -> Tensor:
    """The same memory, or new where it has fewer rows."""
    return memory if len(memory) >= rows else memory.new_empty(rows, *memory.shape[1:])


def _best(logits: Tensor, spare: Tensor) -> tuple[Tensor, Tensor]:
    """(n, K, W), overwritten -> index of the highest and the sum of 2^(logit - highest); (n, W) each.

    spare: (n or more, K, W) to write to. New memory in its place costs more than all the arithmetic: its page faults.
    """
    labels = logits.shape[1]
    behind = logits.sub_(logits.amax(dim=1, keepdim=True))  # 0 where highest
    # Of equals the first wins, as in argmax, which would take several times as long.
    order = torch.arange(labels, 0, -1, dtype=behind.dtype, device=behind.device)[:, None]  # (K, 1)
    winner = labels - torch.add(order, behind, alpha=_FAR, out=spare[: len(behind)]).amax(dim=1)
    return winner.long(), behind.exp2_().sum(dim=1)
