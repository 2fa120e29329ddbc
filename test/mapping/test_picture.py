"""Pictures of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lseg_ros.mapping import LanguageMap, MapConfig, find
from lseg_ros.mapping.picture import draw_map, heat_colors, write_picture
from test.support.rooms import CHANNELS, look, unit, wall_frame


def test_the_picture_shows_the_voxels_and_marks_places(tmp_path: Path) -> None:
    language_map = LanguageMap(MapConfig(map_memory_mb=4, map_extent_m=20.0), CHANNELS)
    empty = draw_map(language_map.voxels(), 0.05)
    assert empty.shape == (64, 64, 3)
    language_map.integrate(look(wall_frame(), 0, ((slice(0, 90), slice(90, 128), 1, 2.0),)))
    colors = heat_colors(language_map.similarity(unit(1)))
    plain = draw_map(language_map.voxels(), 0.05)
    marked = draw_map(language_map.voxels(), 0.05, colors, find(language_map, unit(1), 1))
    assert plain.shape == marked.shape and (plain == 90).any()
    assert ((marked == 255).all(axis=2)).any()  # the mark
    write_picture(tmp_path / "map.png", marked)
    assert (tmp_path / "map.png").stat().st_size > 100
    with pytest.raises(ValueError, match=r"expected a file name that ends in \.png or \.jpg, got 'map\.gif'"):
        write_picture(tmp_path / "map.gif", marked)


def test_the_most_similar_voxel_is_red_and_the_least_similar_blue() -> None:
    high, low = heat_colors(np.array([0.9, 0.1], np.float32))
    assert high[0] > high[2] and low[2] >= low[0]
    assert heat_colors(np.empty(0, np.float32)).shape == (0, 3)
