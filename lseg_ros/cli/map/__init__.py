"""``lseg map``: build a language map from a recording."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.mapping import LanguageMap, MapConfig, PoseGate, observe, read_trajectory, save_map
from lseg_ros.mapping.picture import draw_map, write_picture
from lseg_ros.recordings import RgbdFolder
from lseg_ros.settings import check, setting

__all__ = ["SETTINGS", "MapSettings", "run"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MapSettings:
    """Build a language map from an RGB-D recording with poses, for ``lseg map find``.

    The recording is a folder with associations.txt, camera.yaml and groundtruth.txt, whose lines are the poses of the
    camera's optical frame in the map: stamp tx ty tz qx qy qz qw. Frames without a pose and frames whose pose jumps
    are skipped. A picture of the map from above is written next to it.
    """

    recording: tyro.conf.Positional[str] = setting(  # noqa: RUF009 - a text is immutable
        "", "RGB-D recording: a folder with associations.txt and camera.yaml"
    )
    out: str = setting("map.safetensors", "file for the map")
    poses: str = setting("", "file with the poses; empty for groundtruth.txt of the recording")
    every: int = setting(1, "use every n-th frame", minimum=1)
    map: MapConfig = dataclasses.field(default_factory=MapConfig)
    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)

    def __post_init__(self) -> None:
        check(self)
        if not self.recording:
            raise ValueError("recording: expected a folder, got none")


SETTINGS = MapSettings


def run(settings: MapSettings) -> int:
    """Build the map and write it."""
    folder, out = Path(settings.recording).expanduser(), Path(settings.out).expanduser()
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out: expected an existing folder, got {out.parent}")
    frames = RgbdFolder(folder)
    trajectory = read_trajectory(settings.poses or folder / "groundtruth.txt")
    segmenter = Segmenter.from_checkpoint(settings.network)
    language_map = LanguageMap(settings.map, segmenter.channels)
    gate, skipped, network_s, map_s = PoseGate(settings.map.map_max_speed_m_s), 0, 0.0, 0.0
    indices = range(0, len(frames), settings.every)
    for index in indices:
        frame = frames[index]
        try:
            pose = trajectory.pose(frame.stamp_ns)
            gate.check(frame.stamp_ns, pose)
        except ValueError as error:
            skipped += 1
            logger.warning("frame %d is skipped: %s", index, error)
            continue
        start_s = time.perf_counter()
        embeddings = segmenter.embed(frame.image)
        embedded_s = time.perf_counter()
        language_map.integrate(observe(frame, embeddings, pose, range_m=settings.map.map_range_m))
        network_s, map_s = network_s + embedded_s - start_s, map_s + time.perf_counter() - embedded_s
    if not len(language_map):
        raise ValueError(f"{folder}: expected frames with depth and poses, got none that could be used")
    save_map(language_map, out, segmenter.fingerprint)
    picture = out.with_suffix(".png")
    write_picture(picture, draw_map(language_map.voxels(), settings.map.map_voxel_m))
    used = len(indices) - skipped
    print(
        f"{len(language_map)} voxels from {used} of {len(indices)} frames "
        f"(network {network_s / used * 1e3:.0f} ms, map {map_s / used * 1e3:.1f} ms per frame) -> {out}, {picture}"
    )
    return 0
