"""``lseg map``: build a language map from a recording."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from lseg_ros.bags import BagFrame, BagPoses, BagRecording, is_bag
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.mapping import LanguageMap, MapConfig, PoseGate, observe, read_trajectory, save_map
from lseg_ros.mapping.picture import draw_map, write_picture
from lseg_ros.recordings import RgbdFolder
from lseg_ros.settings import check, setting
from lseg_ros.structures import Frame
from lseg_ros.transforms import parse_pose

__all__ = ["SETTINGS", "MapSettings", "run"]

logger = logging.getLogger(__name__)

_Read = Callable[[], tuple[Frame, NDArray[np.float64]]]  # a frame and its pose; raises ValueError if one is unusable


@dataclass(frozen=True)
class MapSettings:
    """Build a language map from an RGB-D recording with poses, for ``lseg map find``.

    The recording is a folder with associations.txt, camera.yaml and groundtruth.txt, whose lines are the poses of the
    camera's optical frame in the map: stamp tx ty tz qx qy qz qw; or it is a bag with poses. Frames without a pose and
    frames whose pose jumps are skipped. A picture of the map from above is written next to it.
    """

    recording: tyro.conf.Positional[str] = setting(  # noqa: RUF009 - a text is immutable
        "",
        "RGB-D recording: a folder with associations.txt and camera.yaml, or a bag (.bag, .mcap, .db3, or its folder)",
    )
    out: str = setting("map.safetensors", "file for the map")
    poses: str = setting("", "file with the poses; empty for groundtruth.txt of the recording, or those in the bag")
    pose: str = setting("tf", "poses in a bag: tf, or the topic of Odometry or PoseStamped messages")
    map_frame: str = setting("map", "frame in which the poses in a bag are given")
    camera_pose: str = setting(
        "",
        "pose of the optical frame in the frame that the topic of poses describes, 'x y z qx qy qz qw' in meters; "
        "empty if that is the optical frame",
    )
    image: str = setting("auto", "topic of the images in a bag; auto for the only one")
    depth: str = setting("auto", "topic of the depth in a bag, registered to the images; auto for the only one")
    camera_info: str = setting("auto", "topic of the calibration in a bag; auto for the one next to the images")
    every: int = setting(1, "use every n-th frame", minimum=1)
    map: MapConfig = dataclasses.field(default_factory=MapConfig)
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)
        if not self.recording:
            raise ValueError("recording: expected a folder or a bag, got none")
        if self.camera_pose:
            parse_pose(self.camera_pose, "camera_pose")


SETTINGS = MapSettings


def run(settings: MapSettings) -> int:
    """Build the map and write it."""
    recording, out = Path(settings.recording).expanduser(), Path(settings.out).expanduser()
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out: expected an existing folder, got {out.parent}")
    count, frames = (_open_bag if is_bag(recording) else _open_folder)(recording, settings)
    segmenter = Segmenter.from_checkpoint(settings.network)
    language_map = LanguageMap(settings.map, segmenter.channels)
    gate, skipped, network_s, map_s = PoseGate(settings.map.map_max_speed_m_s), 0, 0.0, 0.0
    for number, read in enumerate(frames):
        try:
            frame, pose = read()
            gate.check(frame.stamp_ns, pose)
        except ValueError as error:
            skipped += 1
            logger.warning("frame %d is skipped: %s", number * settings.every, error)
            continue
        start_s = time.perf_counter()
        embeddings = segmenter.embed(frame.image)
        embedded_s = time.perf_counter()
        language_map.integrate(observe(frame, embeddings, pose, range_m=settings.map.map_range_m))
        network_s, map_s = network_s + embedded_s - start_s, map_s + time.perf_counter() - embedded_s
    if not len(language_map):
        raise ValueError(f"{recording}: expected frames with depth and poses, got none that could be used")
    save_map(language_map, out, segmenter.fingerprint)
    picture = out.with_suffix(".png")
    write_picture(picture, draw_map(language_map.voxels(), settings.map.map_voxel_m))
    used = count - skipped
    print(
        f"{len(language_map)} voxels from {used} of {count} frames "
        f"(network {network_s / used * 1e3:.0f} ms, map {map_s / used * 1e3:.1f} ms per frame) -> {out}, {picture}"
    )
    return 0


def _open_folder(path: Path, settings: MapSettings) -> tuple[int, Iterator[_Read]]:
    """Return the number of frames and the frames of an RGB-D folder."""
    frames, trajectory = RgbdFolder(path), read_trajectory(settings.poses or path / "groundtruth.txt")

    def read(index: int) -> tuple[Frame, NDArray[np.float64]]:
        frame = frames[index]
        return frame, trajectory.pose(frame.stamp_ns)

    indices = range(0, len(frames), settings.every)
    return len(indices), (partial(read, index) for index in indices)


def _open_bag(path: Path, settings: MapSettings) -> tuple[int, Iterator[_Read]]:
    """Return the number of frames and the frames of a camera in a bag."""
    recording = BagRecording(path, settings.image, settings.depth, settings.camera_info)
    trajectory = read_trajectory(settings.poses) if settings.poses else None
    camera_pose = parse_pose(settings.camera_pose, "camera_pose") if settings.camera_pose else None
    poses = None if trajectory else BagPoses(path, settings.map_frame, settings.pose, camera_pose)

    def read(raw: BagFrame) -> tuple[Frame, NDArray[np.float64]]:
        frame = raw.assemble().frame
        if poses is not None:
            return frame, poses.pose(frame.frame_id, frame.stamp_ns, raw.log_ns)
        assert trajectory is not None
        return frame, trajectory.pose(frame.stamp_ns)

    count = len(range(0, len(recording), settings.every))
    return count, (partial(read, raw) for raw in recording.read() if raw.index % settings.every == 0)
