"""A walk through three rooms of the synthetic world, and where things are in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import unproject
from lseg_ros.structures import Frame
from lseg_ros.synthetic import CLASSES, SyntheticWorld
from lseg_ros.transforms import transform_points

__all__ = ["Step", "Walk"]

_ROOM_SPACING_M = 12.0
_SECONDS_PER_ROOM = 30.0
_PAUSE_S = 15.0  # to walk to the next room
_THINNING = 4  # of the pixels that enter the truth


@dataclass(frozen=True, eq=False)
class Step:
    """One frame of a walk.

    Attributes:
        frame: The frame.
        pose: (4, 4) float64 true pose of the camera in the map.
        labels: (H, W) uint8 index in ``CLASSES`` + 1 of each pixel.
    """

    frame: Frame
    pose: NDArray[np.float64]
    labels: NDArray[np.uint8]


class Walk:
    """Frames from three rooms that are next to each other in the map.

    Attributes:
        words: The classes in view, the most frequent first.
        truth: For each word, points (N, 3) of its things in the map.
    """

    def __init__(self, seeds: Sequence[int], frames_per_room: int, size: tuple[int, int]) -> None:
        """Render a part of the frames, to find out where things are.

        Args:
            seeds: Seeds of the rooms.
            frames_per_room: Number of frames.
            size: (H, W) of the images.
        """
        self._worlds = [SyntheticWorld(seed, size[1], size[0]) for seed in seeds]
        self._times_s = np.linspace(0, _SECONDS_PER_ROOM, frames_per_room, endpoint=False)
        points: dict[str, list[NDArray[np.float32]]] = {}
        for room, world in enumerate(self._worlds):
            for time_s in self._times_s[:: max(frames_per_room // 10, 1)].tolist():
                scene = world.frame(time_s)
                assert scene.frame.depth_m is not None and scene.frame.intrinsics is not None  # the world has both
                xyz = unproject(scene.frame.depth_m, scene.frame.intrinsics)
                xyz = transform_points(self._pose(room, time_s), xyz).reshape(-1, 3)
                labels, known = scene.labels.reshape(-1), np.isfinite(xyz[:, 2])
                for label in np.unique(labels[known]).tolist():
                    points.setdefault(CLASSES[label - 1], []).append(xyz[known & (labels == label)][::_THINNING])
        truth = {name: np.concatenate(parts) for name, parts in points.items()}
        self.words = tuple(sorted(truth, key=lambda name: -len(truth[name])))
        self.truth = truth

    def __iter__(self) -> Iterator[Step]:
        for room, world in enumerate(self._worlds):
            start_s = room * (_SECONDS_PER_ROOM + _PAUSE_S)
            for time_s in self._times_s.tolist():
                scene = world.frame(time_s)
                frame = dataclasses.replace(scene.frame, stamp_ns=round((start_s + time_s) * 1e9))
                yield Step(frame, self._pose(room, time_s), scene.labels)

    def _pose(self, room: int, time_s: float) -> NDArray[np.float64]:
        pose = np.eye(4)
        pose[:3, 3], pose[:3, :3] = self._worlds[room].path.pose(time_s)
        pose[0, 3] += room * _ROOM_SPACING_M
        return pose
