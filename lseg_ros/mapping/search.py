"""Search a map for a text: similar voxels, grouped into places."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lseg_ros.mapping.language_map import LanguageMap, Voxels

__all__ = ["Place", "find"]

_MAX_CANDIDATES = 20_000  # of the most similar voxels form places
_STEP = 0.08  # a place contains voxels that are at most this much less similar than the best ones
_STEPS = 3  # further places are searched this many steps below the best voxel
_BEST_VOXELS = 8  # the score of a place is the mean of its best voxels, so that a single wrong one does not win
_GAP_VOXELS = 2  # voxels of one place are in the same or in adjacent cubes of this many voxels
_NEIGHBORS = np.array([step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)], np.int64)
_OFFSET, _BITS = 1 << 20, 21  # of the coordinates of a cube in its key


@dataclass(frozen=True, eq=False)
class Place:
    """A group of connected voxels that are similar to a text.

    Attributes:
        centroid: (3,) float64 mean of the voxels' centers in meters.
        point: (3,) float64 center of the voxel that is nearest to the centroid, which lies on the object.
        lower: (3,) float64 smallest coordinates of the bounding box.
        upper: (3,) float64 largest coordinates of the bounding box.
        score: Cosine similarity of its best voxels and the text, -1 to 1.
        voxels: Number of voxels.
        last_seen_ns: Stamp of the last observation in nanoseconds.
    """

    centroid: NDArray[np.float64]
    point: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    score: float
    voxels: int
    last_seen_ns: int


def find(
    language_map: LanguageMap, text: NDArray[np.float32], max_places: int = 5, threshold: float = -1.0
) -> tuple[Place, ...]:
    """Find the places that are most similar to a text.

    Args:
        language_map: The map.
        text: (C,) float32 embedding of the text, of unit norm.
        max_places: Largest number of places.
        threshold: Smallest score, -1 to 1.

    Returns:
        The places, best first; none if no place reaches the threshold.

    Raises:
        ValueError: The embedding has another size, or a limit is out of range.
    """
    if max_places < 1:
        raise ValueError(f"max_places: expected at least 1, got {max_places}")
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold: expected -1 to 1, got {threshold}")
    with language_map.lock:
        similarity = language_map.similarity(text)
        if not similarity.size:
            return ()
        best = float(similarity.max())
        candidates = _most_similar(similarity, max(best - _STEPS * _STEP, threshold - _STEP))
        scores, voxels = similarity[candidates], language_map.voxels(candidates)
    if not candidates.size:
        return ()
    places: list[Place] = []
    free, voxel_m = np.ones(len(scores), np.bool_), language_map.config.map_voxel_m
    for step in range(1, _STEPS + 1):
        members = np.flatnonzero(scores >= best - step * _STEP)
        group = _connected(np.rint(voxels.centers[members] / (_GAP_VOXELS * voxel_m)).astype(np.int64))
        for part in _split(members, group):
            if free[part].all():  # otherwise it is a found place with its surroundings
                places.append(_place(voxels, scores, part, voxel_m))
            free[part] = False
    places = [place for place in places if place.score >= threshold]
    return tuple(sorted(places, key=lambda place: -place.score)[:max_places])


def _most_similar(similarity: NDArray[np.float32], limit: float) -> NDArray[np.intp]:
    """Return the indices of the voxels above a limit, of at most the best 20,000."""
    candidates = np.flatnonzero(similarity >= limit)
    if len(candidates) > _MAX_CANDIDATES:
        best = np.argpartition(similarity[candidates], -_MAX_CANDIDATES)[-_MAX_CANDIDATES:]
        candidates = candidates[best]
    return candidates


def _connected(cubes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the groups of cubes that touch each other.

    Args:
        cubes: (N, 3) coordinates.

    Returns:
        (N,) group of each cube.
    """
    keys, index = np.unique(_keys(cubes), return_inverse=True)
    group = np.arange(len(keys))
    cells = np.stack([keys >> 2 * _BITS, keys >> _BITS & ((1 << _BITS) - 1), keys & ((1 << _BITS) - 1)], axis=1)
    pairs = []
    for step in _NEIGHBORS:
        wanted = _keys(cells - _OFFSET + step)
        position = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        touching = np.flatnonzero(keys[position] == wanted)
        pairs.append(np.stack([touching, position[touching]]))
    one, other = np.concatenate(pairs, axis=1)
    while (group[one] != group[other]).any():  # the smallest number spreads; each round shortens the chains
        low = np.minimum(group[one], group[other])
        np.minimum.at(group, group[one], low)
        np.minimum.at(group, group[other], low)
        while (group[group] != group).any():
            group = group[group]
    return group[index.reshape(-1)]


def _keys(cubes: NDArray[np.int64]) -> NDArray[np.int64]:
    x, y, z = (cubes + _OFFSET).T
    return x << 2 * _BITS | y << _BITS | z


def _split(members: NDArray[np.intp], group: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    order = np.argsort(group, kind="stable")
    return np.split(members[order], np.flatnonzero(np.diff(group[order])) + 1)


def _place(voxels: Voxels, scores: NDArray[np.float32], part: NDArray[np.intp], voxel_m: float) -> Place:
    centers = voxels.centers[part].astype(np.float64)
    centroid = centers.mean(axis=0)
    return Place(
        centroid=centroid,
        point=centers[((centers - centroid) ** 2).sum(axis=1).argmin()],
        lower=centers.min(axis=0) - voxel_m / 2,
        upper=centers.max(axis=0) + voxel_m / 2,
        score=_score(np.sort(scores[part])[-_BEST_VOXELS:]),
        voxels=len(part),
        last_seen_ns=int(voxels.stamps_ns[part].max()),
    )


def _score(best: NDArray[np.float32]) -> float:
    """Return the mean of the best voxels.

    If there are fewer, the missing ones count as those that are just not part of the place.
    """
    missing = _BEST_VOXELS - len(best)
    return float((best.sum() + missing * (best.max() - _STEP)) / _BEST_VOXELS)
