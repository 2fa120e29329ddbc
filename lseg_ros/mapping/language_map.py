"""The language map: voxels with the running mean of pixel embeddings."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.mapping.config import MapConfig
from lseg_ros.mapping.grid import EMPTY, OUTSIDE, VoxelGrid
from lseg_ros.mapping.kernels import mix_rows, quantize_rows, scores
from lseg_ros.mapping.observation import Observation

__all__ = ["LanguageMap", "MapUpdate", "Voxels"]

_MAX_WEIGHT = 50.0  # frames that a mean remembers, so that it follows changes
_CARVED_SHARE = 0.5  # of its weight that a voxel keeps each time the camera sees through it
_MIN_WEIGHT = 0.02  # a voxel with less is removed: a new one at once, one of full weight after 12 frames
_MARGIN_VOXELS = 2.0
_CHECKED = 1 << 15  # voxels per frame that are checked for free space and age, which limits the time of a frame
_EVICTED_SHARE = 0.02  # of a full map that is removed at once
_QUERY_STEPS = 4095  # of the largest channel of a query, so that sums of 4096 channels fit into 32 bits
_BYTES = 2 + 1  # per channel: float16, and int8 for searching
_BYTES_PER_VOXEL = 8 + 12 + 4 + 8 + 4 + 64  # key, color, weight, stamp, scale, and the share of the grid


@dataclass(frozen=True)
class MapUpdate:
    """What a frame changed.

    Attributes:
        updated: Voxels that the frame observed, including new ones.
        added: Voxels that are new.
        removed: Voxels that were seen through, too old, or made room for new ones.
    """

    updated: int
    added: int
    removed: int


@dataclass(frozen=True, eq=False)
class Voxels:
    """The contents of a map, without its embeddings.

    Attributes:
        centers: (N, 3) float32 meters in the map.
        colors: (N, 3) uint8 RGB.
        weights: (N,) float32, about the number of frames that observed the voxel well.
        stamps_ns: (N,) int64 time of the last observation in nanoseconds.
    """

    centers: NDArray[np.float32]
    colors: NDArray[np.uint8]
    weights: NDArray[np.float32]
    stamps_ns: NDArray[np.int64]


class LanguageMap:
    """A sparse voxel map that can be searched for any text.

    Memory is reserved once for the largest number of voxels, and used by the operating system's pages as the map
    grows. The N voxels occupy the first N rows of all arrays. Any thread may call any method.

    Attributes:
        config: The settings.
        channels: Number of channels of the embeddings.
        capacity: Largest number of voxels.
        lock: Held while the map changes or is read.
    """

    def __init__(self, config: MapConfig, channels: int, min_capacity: int = 0) -> None:
        """Create an empty map.

        Args:
            config: The settings.
            channels: Number of channels of the embeddings.
            min_capacity: Number of voxels to hold even if ``map_memory_mb`` is too small for them.
        """
        self.config = config
        self.channels = channels
        self.capacity = max(config.map_memory_mb * 1_000_000 // (_BYTES * channels + _BYTES_PER_VOXEL), min_capacity, 1)
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Remove all voxels."""
        with self.lock:
            self._grid = VoxelGrid(self.config.map_voxel_m, self.config.map_extent_m)
            self._count = self._next_check = 0
            self._keys = np.empty(self.capacity, np.int64)
            self._means = np.empty((self.capacity, self.channels), np.float16)
            self._colors = np.empty((self.capacity, 3), np.float32)
            self._weights = np.empty(self.capacity, np.float32)
            self._stamps_ns = np.empty(self.capacity, np.int64)
            self._index = np.empty((self.capacity, self.channels), np.int8)  # the means again, for searching
            self._scale = np.empty(self.capacity, np.float32)  # makes the rows of the index unit vectors

    def __len__(self) -> int:
        return self._count

    def voxels(self, slots: NDArray[np.intp] | None = None) -> Voxels:
        """Return a copy of the contents.

        Args:
            slots: Selected voxels, or None for all.
        """
        with self.lock:
            rows: Any = slice(0, self._count) if slots is None else slots
            centers = self._grid.centers(self._keys[rows])
            colors = np.rint(self._colors[rows]).astype(np.uint8)
            return Voxels(centers, colors, self._weights[rows].copy(), self._stamps_ns[rows].copy())

    def embeddings(self) -> NDArray[np.float16]:
        """Return a copy of the mean embeddings, (N, C) float16, not normalized."""
        with self.lock:
            return self._means[: self._count].copy()

    def similarity(self, text: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine similarity (N,) float32 of every voxel and a text, exact to 0.002.

        It is computed with 8-bit copies of the embeddings.

        Args:
            text: (C,) float32 embedding of the text, of unit norm.

        Raises:
            ValueError: The embedding has another size.
        """
        if text.shape != (self.channels,):
            raise ValueError(f"text: expected an embedding of {self.channels} channels, got shape {text.shape}")
        query_scale = _QUERY_STEPS / max(float(abs(text).max()), 1e-12)
        query = np.rint(text * query_scale).astype(np.int16)
        with self.lock:
            result = scores(self._index[: self._count], self._scale[: self._count], query)
        result *= np.float32(1 / query_scale)
        return result.clip(-1, 1, out=result)

    def export_tensors(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the contents as they are saved.

        ``cells`` are the coordinates of the voxels, which begin at the origin of the map.
        """
        with self.lock:
            voxels = self.voxels()
            cells = (self._grid.cells_of(self._keys[: self._count]) - self._grid.cells // 2).astype(np.int16)
            return {
                "cells": cells,
                "embeddings": self.embeddings(),
                "colors": voxels.colors,
                "weights": voxels.weights,
                "stamps_ns": voxels.stamps_ns,
            }

    def import_tensors(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Replace the contents by those of ``export_tensors``.

        Raises:
            ValueError: They have another number of channels, or do not fit into the limits of the map.
        """
        cells, means = tensors["cells"].astype(np.int64) + self._grid.cells // 2, tensors["embeddings"]
        if means.shape[1] != self.channels or len(means) > self.capacity:
            raise ValueError(
                f"map: expected at most {self.capacity} voxels of {self.channels} channels, got {means.shape}"
            )
        if ((cells < 0) | (cells >= self._grid.cells)).any():
            raise ValueError(f"map_extent_m: expected a cube that contains the map, got {self.config.map_extent_m:g} m")
        with self.lock:
            self.reset()
            used = slice(0, len(cells))
            self._keys[used], self._means[used] = self._grid.keys_of(cells), means
            self._colors[used], self._weights[used] = tensors["colors"], tensors["weights"]
            self._stamps_ns[used], self._count = tensors["stamps_ns"], len(cells)
            slots = np.arange(len(cells), dtype=np.int32)
            self._grid.assign(self._keys[used], slots)
            quantize_rows(self._means, slots, self._index, self._scale)

    def integrate(self, observation: Observation) -> MapUpdate:
        """Add a frame to the map.

        Voxels that the camera sees through lose weight and disappear. Of a large map, only a part is checked for this
        in each frame.

        Raises:
            ValueError: The embeddings have another number of channels.
        """
        if observation.rows.shape[1] != self.channels:
            raise ValueError(f"map: expected embeddings of {self.channels} channels, got {observation.rows.shape[1]}")
        with self.lock:
            removed = self._carve(observation)
            updated, added, evicted = self._add(observation)
            return MapUpdate(updated, added, removed + evicted)

    def _carve(self, observation: Observation) -> int:
        """Remove voxels that the camera sees through, and old ones."""
        if not self._count:
            return 0
        first = self._next_check if self._next_check < self._count else 0
        slots = np.arange(first, min(first + _CHECKED, self._count))
        self._next_check = int(slots[-1]) + 1
        margin_m = _MARGIN_VOXELS * self.config.map_voxel_m
        seen_through = observation.view.seen_through(self._grid.centers(self._keys[slots]), margin_m)
        self._weights[slots[seen_through]] *= _CARVED_SHARE
        gone = seen_through & (self._weights[slots] < _MIN_WEIGHT)
        if self.config.map_max_age_s > 0:
            gone |= self._stamps_ns[slots] < observation.stamp_ns - self.config.map_max_age_s * 1e9
        self._remove(slots[gone])
        return int(gone.sum())

    def _add(self, observation: Observation) -> tuple[int, int, int]:
        """Update the voxels of the points; returns the numbers of updated, added, evicted ones."""
        keys = self._grid.keys(observation.points)
        used = np.flatnonzero((keys != OUTSIDE) & (observation.weights > 0))
        if not used.size:
            return 0, 0, 0
        # Sort by voxel, then by embedding: each pair occurs once in the weighted sum.
        shift = int(observation.columns.max()).bit_length()
        pairs = keys[used] << shift | observation.columns[used]
        order = np.argsort(pairs)
        pairs, used = pairs[order], used[order]
        pair_starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        pair_keys, columns = pairs[pair_starts] >> shift, pairs[pair_starts] & ((1 << shift) - 1)
        starts = np.flatnonzero(np.diff(pair_keys, prepend=-1))  # of each voxel among the pairs
        voxel_keys, point_starts = pair_keys[starts], pair_starts[starts]
        weights = observation.weights[used]
        sums = np.add.reduceat(weights, point_starts)
        counts = np.diff(point_starts, append=len(used))
        colors = np.add.reduceat(weights[:, None] * observation.colors[used], point_starts) / sums[:, None]
        slots, added, evicted = self._claim(voxel_keys)
        kept = slots != EMPTY  # all, unless the map is smaller than a frame
        if not kept.all():
            raise ValueError(
                f"map_memory_mb: expected room for the {len(kept)} voxels of a frame, got room for {self.capacity}"
            )
        gain = sums / counts  # a frame counts as the mean of its points
        old = np.minimum(self._weights[slots], _MAX_WEIGHT - gain)
        share = gain / (old + gain)
        pair_weights = np.add.reduceat(weights, pair_starts)
        pair_weights *= np.repeat(share / sums, np.diff(starts, append=len(columns))) * observation.factors[columns]
        ends = np.append(starts, len(columns))
        mix_rows(
            self._means,
            slots,
            share.astype(np.float32),
            ends,
            columns,
            pair_weights.astype(np.float32),
            observation.rows,
        )
        quantize_rows(self._means, slots, self._index, self._scale)
        self._colors[slots] += share[:, None] * (colors - self._colors[slots])
        self._weights[slots] = old + gain
        self._stamps_ns[slots] = observation.stamp_ns
        return len(slots), added, evicted

    def _claim(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], int, int]:
        """Return the slots of voxels, and the numbers of new voxels and of those that made room."""
        evicted = 0
        missing = self._grid.slots(keys) == EMPTY
        needed = int(missing.sum())
        if needed > self.capacity - self._count and len(keys) <= self.capacity:
            evicted = self._evict(
                max(needed - (self.capacity - self._count), round(_EVICTED_SHARE * self.capacity)), keys
            )
            missing = self._grid.slots(keys) == EMPTY
            needed = int(missing.sum())
        if needed <= self.capacity - self._count:
            new = np.arange(self._count, self._count + needed, dtype=np.int32)
            self._grid.assign(keys[missing], new)
            self._keys[new], self._weights[new], self._colors[new] = keys[missing], 0, 0
            self._count += needed
        return self._grid.slots(keys), needed, evicted

    def _evict(self, count: int, needed: NDArray[np.int64]) -> int:
        """Remove the voxels that were not seen for longest, but none of those that are needed now."""
        age = self._stamps_ns[: self._count].copy()
        in_use = self._grid.slots(needed)
        age[in_use[in_use != EMPTY]] = np.iinfo(np.int64).max
        count = min(count, self._count - int((in_use != EMPTY).sum()))
        if count:
            self._remove(np.argpartition(age, count - 1)[:count])
        return count

    def _remove(self, slots: NDArray[np.int64]) -> None:
        """Remove voxels, and move the last ones into the gaps."""
        if not slots.size:
            return
        self._grid.clear(self._keys[slots])
        count = self._count - len(slots)
        gone = np.zeros(self._count - count, np.bool_)  # of the rows behind the new end
        gone[slots[slots >= count] - count] = True
        moved, gaps = count + np.flatnonzero(~gone), slots[slots < count]
        for array in (
            self._keys, self._means, self._index, self._scale, self._colors, self._weights, self._stamps_ns,
        ):  # fmt: skip
            array[gaps] = array[moved]
        self._grid.assign(self._keys[gaps], gaps.astype(np.int32))
        self._count = count
