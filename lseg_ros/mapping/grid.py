"""Coordinates of voxels, and the look-up of what is stored for them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["EMPTY", "MAX_CELLS", "OUTSIDE", "VoxelGrid"]

_BITS = 4  # a block has 16 voxels per side
_BLOCK = 1 << _BITS
_VOLUME = _BLOCK**3
MAX_CELLS = 4096  # per side: the table of blocks then has 2^24 entries
EMPTY = -1  # slot of a voxel without data
OUTSIDE = -1  # key of a point outside of the grid

Keys = NDArray[np.int64]
Slots = NDArray[np.int32]


class VoxelGrid:
    """A cube of voxels around the origin, of which only blocks with data use memory.

    A voxel has a key, which gives its coordinates, and a slot, the index of its data. Both directions are array
    operations: a table with the number of each block, and a table of slots for each block that is in use.

    Attributes:
        voxel_m: Edge length of a voxel in meters.
        cells: Voxels per side.
    """

    def __init__(self, voxel_m: float, extent_m: float) -> None:
        """Create an empty grid.

        Args:
            voxel_m: Edge length of a voxel in meters.
            extent_m: Edge length of the cube in meters; rounded up to whole blocks.
        """
        self.voxel_m = voxel_m
        self._blocks_per_side = math.ceil(extent_m / voxel_m / _BLOCK - 1e-9)
        self.cells = self._blocks_per_side * _BLOCK
        self._number = np.zeros(self._blocks_per_side**3, np.int32)  # of each block, 0 for blocks without data
        self._slots = np.full((1, _VOLUME), EMPTY, np.int32)  # row 0 stays empty
        self._blocks = 1

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks in use."""
        return self._slots.nbytes

    def keys(self, points: NDArray[np.floating]) -> Keys:
        """Return the keys (N,) of the voxels that contain points (N, 3).

        The key of a point that is outside of the grid or not finite is OUTSIDE.
        """
        scaled = points / self.voxel_m + self.cells / 2
        inside: NDArray[np.bool_] = np.all((scaled >= 0) & (scaled < self.cells), axis=1)  # False for NaN
        cell = np.where(inside[:, None], scaled, 0).astype(np.int64)  # truncation is floor: nothing is negative
        return np.where(inside, self.keys_of(cell), OUTSIDE)

    def keys_of(self, cells: NDArray[np.int64]) -> Keys:
        """Return the keys (N,) of voxel coordinates (N, 3) inside of the grid."""
        block, local = cells >> _BITS, cells & (_BLOCK - 1)
        side = self._blocks_per_side
        number = (block[:, 0] * side + block[:, 1]) * side + block[:, 2]
        return number << 3 * _BITS | local[:, 0] << 2 * _BITS | local[:, 1] << _BITS | local[:, 2]

    def cells_of(self, keys: Keys) -> NDArray[np.int64]:
        """Return the coordinates (N, 3) of voxels."""
        number, side, mask = keys >> 3 * _BITS, self._blocks_per_side, _BLOCK - 1
        block = np.stack([number // side**2, number // side % side, number % side], axis=1)
        local = np.stack([keys >> 2 * _BITS & mask, keys >> _BITS & mask, keys & mask], axis=1)
        return block << _BITS | local

    def centers(self, keys: Keys) -> NDArray[np.float32]:
        """Return the centers (N, 3) of voxels in meters."""
        return ((self.cells_of(keys) + (0.5 - self.cells / 2)) * self.voxel_m).astype(np.float32)

    def slots(self, keys: Keys) -> Slots:
        """Return the slots (N,) of voxels, EMPTY for those without data."""
        return self._slots[self._number[keys >> 3 * _BITS], keys & (_VOLUME - 1)]

    def assign(self, keys: Keys, slots: Slots) -> None:
        """Set the slots of voxels. Blocks that are new are allocated."""
        block = keys >> 3 * _BITS
        new = np.unique(block[self._number[block] == 0])
        self._number[new] = np.arange(self._blocks, self._blocks + len(new), dtype=np.int32)
        self._blocks += len(new)
        if self._blocks > len(self._slots):
            more = max(self._blocks, 2 * len(self._slots)) - len(self._slots)
            self._slots = np.concatenate([self._slots, np.full((more, _VOLUME), EMPTY, np.int32)])
        self._slots[self._number[block], keys & (_VOLUME - 1)] = slots

    def clear(self, keys: Keys) -> None:
        """Forget the slots of voxels."""
        self._slots[self._number[keys >> 3 * _BITS], keys & (_VOLUME - 1)] = EMPTY
