"""Places that a text finds."""

from __future__ import annotations

import numpy as np
import pytest

from lseg_ros.mapping import LanguageMap, MapConfig, find
from test.support.rooms import CHANNELS, FAR_M, look, unit, wall_frame

TWO_THINGS = (
    (slice(20, 60), slice(12, 40), 1, 2.0),  # the larger one
    (slice(32, 60), slice(92, 112), 1, 2.5),
)


@pytest.fixture(scope="module")
def language_map() -> LanguageMap:
    result = LanguageMap(MapConfig(map_memory_mb=4, map_extent_m=20.0), CHANNELS)
    result.integrate(look(wall_frame(stamp_s=4.0), 0, TWO_THINGS))
    return result


def test_every_thing_is_a_place_with_its_extent(language_map: LanguageMap) -> None:
    places = find(language_map, unit(1), threshold=0.5)
    assert len(places) == 2
    left, right = sorted(places, key=lambda place: place.point[0])
    assert left.point[2] == pytest.approx(2.0, abs=0.05) and right.point[2] == pytest.approx(2.5, abs=0.05)
    assert left.centroid[0] == pytest.approx((25.5 - 63.5) / 100 * 2.0, abs=0.06)
    assert (left.upper - left.lower)[:2] == pytest.approx([0.56, 0.8], abs=0.15)
    assert all(place.score > 0.95 and place.last_seen_ns == 4_000_000_000 for place in places)
    assert all((place.lower <= place.point).all() and (place.point <= place.upper).all() for place in places)


def test_the_best_places_come_first_and_not_more_than_asked_for(language_map: LanguageMap) -> None:
    mixed = (unit(1) + 0.3 * unit(0)) / np.linalg.norm(unit(1) + 0.3 * unit(0))
    (best,) = find(language_map, mixed, max_places=1)
    assert best.point[2] < 2.6


def test_a_place_has_a_point_on_the_object_even_if_its_centroid_is_not(language_map: LanguageMap) -> None:
    (wall, *_) = find(language_map, unit(0))
    assert wall.point[2] == pytest.approx(FAR_M, abs=0.05)


def test_nothing_is_found_below_the_threshold_or_in_an_empty_map(language_map: LanguageMap) -> None:
    assert find(language_map, unit(5), threshold=0.5) == ()
    assert find(LanguageMap(MapConfig(map_memory_mb=1), CHANNELS), unit(1)) == ()


def test_invalid_requests_are_named(language_map: LanguageMap) -> None:
    with pytest.raises(ValueError, match="max_places: expected at least 1, got 0"):
        find(language_map, unit(1), max_places=0)
    with pytest.raises(ValueError, match=r"threshold: expected -1 to 1, got 2"):
        find(language_map, unit(1), threshold=2)
    with pytest.raises(ValueError, match="text: expected an embedding of 8 channels"):
        find(language_map, np.ones(3, np.float32))


def test_a_search_sees_what_changed_since_the_last_one() -> None:
    language_map = LanguageMap(MapConfig(map_memory_mb=4, map_extent_m=20.0), CHANNELS)
    language_map.integrate(look(wall_frame()))
    assert language_map.similarity(unit(3)).max() < 0.1
    for _ in range(3):
        language_map.integrate(look(wall_frame(), 3))
    assert language_map.similarity(unit(3)).max() > 0.8


def test_a_search_sees_voxels_that_moved_and_maps_that_were_loaded() -> None:
    language_map = LanguageMap(MapConfig(map_memory_mb=4, map_extent_m=20.0, map_max_age_s=10.0), CHANNELS)
    language_map.integrate(look(wall_frame(stamp_s=0.0), 2))
    language_map.integrate(look(wall_frame(stamp_s=20.0), 3, x_m=6.0))  # takes the place of the first voxels
    loaded = LanguageMap(language_map.config, CHANNELS)
    loaded.import_tensors(language_map.export_tensors())
    for searched in (language_map, loaded):
        assert searched.similarity(unit(3)).min() > 0.99 and searched.similarity(unit(2)).max() < 0.01
