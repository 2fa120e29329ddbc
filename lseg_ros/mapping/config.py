"""Settings of the language map."""

from __future__ import annotations

from dataclasses import dataclass

from lseg_ros.mapping.grid import MAX_CELLS
from lseg_ros.settings import check, setting

__all__ = ["MapConfig"]


@dataclass(frozen=True)
class MapConfig:
    """Settings of the language map: resolution, limits and what is kept."""

    map_voxel_m: float = setting(0.05, "edge length of the map's voxels", unit="m", minimum=0.01, maximum=1.0)
    map_extent_m: float = setting(
        100.0,
        "edge length of the cube around the origin of map_frame that the map covers",
        unit="m",
        minimum=1.0,
        maximum=4000.0,
    )
    map_memory_mb: int = setting(
        512, "memory of the map; voxels that were not seen for longest make room", unit="MB", minimum=1, maximum=1 << 20
    )
    map_range_m: float = setting(
        5.0, "points farther from the camera than this do not enter the map", unit="m", minimum=0.1, maximum=1000.0
    )
    map_max_age_s: float = setting(
        0.0, "voxels that were not seen for this time are removed, 0 to keep them", unit="s", minimum=0.0
    )
    map_max_speed_m_s: float = setting(
        5.0, "a pose that moved faster than this is a jump, and its frame is not used", unit="m/s", minimum=0.01
    )

    def __post_init__(self) -> None:
        check(self)
        if self.map_extent_m / self.map_voxel_m > MAX_CELLS:
            raise ValueError(
                f"map_extent_m: expected at most {MAX_CELLS} voxels ({MAX_CELLS * self.map_voxel_m:g} m), "
                f"got {self.map_extent_m:g} m"
            )
