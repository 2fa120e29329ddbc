"""Pictures of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lseg_ros.mapping import LanguageMap, MapConfig, Voxels, find
from lseg_ros.mapping.picture import draw_map, heat_colors, view_from_above, write_picture
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


def test_a_view_from_above_has_one_pixel_per_column_and_shows_the_highest_voxel() -> None:
    centers = np.array([[0.05, 0.05, 0.05], [0.05, 0.05, 0.25], [0.15, 0.05, 0.05], [0.05, 0.25, 0.05]], np.float32)
    count = len(centers)
    voxels = Voxels(centers, np.zeros((count, 3), np.uint8), np.ones(count, np.float32), np.zeros(count, np.int64))
    view = view_from_above(voxels, 0.1, ceiling_m=1.0)
    assert view.index.tolist() == [[3, -1], [-1, -1], [1, 2]]
    assert [view.pixel(center.astype(np.float64)) for center in centers] == [(0, 2), (0, 2), (1, 2), (0, 0)]
    large = view_from_above(voxels, 0.1, ceiling_m=1.0, max_side_px=8)
    assert large.index.tolist() == np.kron(view.index, np.ones((2, 2), int)).tolist()
    assert large.pixel(np.array([0.12, 0.05, 0.0])) == (2, 5)
    assert view_from_above(voxels, 0.1, ceiling_m=0.2).index[2, 0] == 0
    painted = view.paint(np.full((count, 3), 200, np.uint8))
    assert (painted[view.index >= 0] == 200).all() and (painted[view.index < 0] < 50).all()
