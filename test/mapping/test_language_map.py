"""What enters the map, what leaves it, and its limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lseg_ros.mapping import LanguageMap, MapConfig, MapUpdate, Observation, observe
from lseg_ros.structures import Cloud
from test.support.rooms import CHANNELS, FAR_M, SIZE, embed_pixels, look, unit, wall_frame

LEFT, RIGHT, ROWS = slice(0, 64), slice(64, 128), slice(0, 96)


def new_map(**settings: float) -> LanguageMap:
    return LanguageMap(MapConfig(**{"map_memory_mb": 4, "map_extent_m": 20.0, **settings}), CHANNELS)  # type: ignore[arg-type]


def test_voxels_are_where_the_depth_is_and_mean_what_the_pixels_mean() -> None:
    language_map = new_map()
    update = language_map.integrate(look(wall_frame(stamp_s=5.0), 0, ((ROWS, RIGHT, 1, FAR_M),)))
    voxels = language_map.voxels()
    assert update.added == update.updated == len(language_map) == len(voxels.centers) > 500
    assert abs(voxels.centers[:, 2] - FAR_M).max() <= 0.05
    is_right = language_map.similarity(unit(1)) > 0.99
    sides = voxels.centers[:, 0] > 0
    assert (is_right == sides)[abs(voxels.centers[:, 0]) > 0.1].all()
    assert (voxels.colors == 90).all() and (voxels.stamps_ns == 5_000_000_000).all()


def test_a_mean_weights_frames_by_confidence_and_distance() -> None:
    language_map, frame = new_map(), wall_frame(1.0)
    for meaning, confidence in ((0, 255), (1, 85)):
        pixels = np.full(SIZE, meaning)
        language_map.integrate(observe(frame, embed_pixels(pixels), np.eye(4), np.full(SIZE, confidence, np.uint8)))
    means = language_map.embeddings().astype(np.float32)
    assert np.allclose(means[:, 0], 0.75, atol=0.01) and np.allclose(means[:, 1], 0.25, atol=0.01)
    near, far = look(wall_frame(1.0)).weights, look(wall_frame(2.0)).weights
    assert np.allclose(far, near[0] / 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_give_the_same_map(dtype: torch.dtype) -> None:
    pixels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % CHANNELS
    maps = [new_map(), new_map()]
    for language_map, kind in zip(maps, (torch.float32, dtype)):
        language_map.integrate(observe(wall_frame(), embed_pixels(pixels, dtype=kind), np.eye(4)))
    assert np.allclose(maps[0].embeddings(), maps[1].embeddings(), atol=0.01)


def test_a_thing_that_was_removed_disappears_and_the_wall_behind_it_stays() -> None:
    language_map = new_map()
    thing = ((slice(30, 60), slice(40, 80), 2, 1.5),)
    for _ in range(5):
        language_map.integrate(look(wall_frame(), 0, thing))
    assert (language_map.voxels().centers[:, 2] < 2).any()
    removed = sum(language_map.integrate(look(wall_frame())).removed for _ in range(15))
    assert removed > 50
    depths_m = language_map.voxels().centers[:, 2]
    assert len(depths_m) > 500 and (depths_m > 2).mean() > 0.99


def test_a_thing_in_front_hides_voxels_without_removing_them() -> None:
    language_map = new_map()
    language_map.integrate(look(wall_frame()))
    for _ in range(20):
        assert language_map.integrate(look(wall_frame(1.5))).removed == 0
    assert (language_map.voxels().centers[:, 2] > 2.9).sum() > 500


def test_unknown_depth_removes_nothing() -> None:
    language_map = new_map()
    language_map.integrate(look(wall_frame()))
    before = len(language_map)
    assert language_map.integrate(look(wall_frame(float("nan")))) == MapUpdate(updated=0, added=0, removed=0)
    assert len(language_map) == before


def test_old_voxels_are_removed_after_their_time() -> None:
    language_map = new_map(map_max_age_s=10.0)
    language_map.integrate(look(wall_frame(stamp_s=0.0)))
    language_map.integrate(look(wall_frame(stamp_s=20.0), x_m=6.0))
    assert (language_map.voxels().stamps_ns == 20_000_000_000).all()
    assert language_map.voxels().centers[:, 0].min() > 3


def test_a_full_map_makes_room_by_what_was_not_seen_for_longest() -> None:
    language_map = LanguageMap(MapConfig(map_memory_mb=1, map_extent_m=60.0, map_voxel_m=0.02), 256)
    assert language_map.capacity < 2500
    for step in range(8):
        language_map.integrate(wide(look(wall_frame(stamp_s=float(step)), x_m=3.0 * step)))
        assert len(language_map) <= language_map.capacity
    stamps_ns = language_map.voxels().stamps_ns
    assert stamps_ns.max() == 7_000_000_000 and stamps_ns.min() > 4_000_000_000


def wide(observation: Observation) -> Observation:
    """The observation with 256 channels and a quarter of its points."""
    rows = np.zeros((len(observation.rows), 256), np.float32)
    rows[:, :CHANNELS] = observation.rows
    every = slice(None, None, 4)
    parts = {name: getattr(observation, name)[every] for name in ("points", "weights", "colors", "columns")}
    return dataclasses.replace(observation, rows=rows, **parts)


def test_the_points_of_a_lidar_replace_the_depth_image() -> None:
    to_camera = np.eye(4)
    to_camera[2, 3] = 1.0  # the lidar is 1 m ahead of the camera
    xyz = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 2), (5000, 3)).astype(np.float32)
    xyz[0] = np.nan
    frame = dataclasses.replace(wall_frame(), depth_m=None, cloud=Cloud(xyz, to_camera, (1, 5000)))
    language_map = new_map()
    language_map.integrate(observe(frame, embed_pixels(np.zeros(SIZE, int)), np.eye(4)))
    centers = language_map.voxels().centers
    assert len(centers) > 500 and abs(centers[:, 2] - 3.0).max() < 0.06 and abs(centers[:, :2]).max() < 1.1


def test_a_map_that_is_smaller_than_a_frame_says_so() -> None:
    language_map = new_map()
    language_map.capacity = 100
    with pytest.raises(
        ValueError, match=r"map_memory_mb: expected room for the \d+ voxels of a frame, got room for 100"
    ):
        language_map.integrate(look(wall_frame()))


def test_points_outside_of_the_extent_are_ignored() -> None:
    language_map = new_map(map_extent_m=4.0)
    assert language_map.integrate(look(wall_frame())).updated == 0
    assert not len(language_map)


def test_embeddings_that_are_not_finite_leave_no_trace() -> None:
    language_map, embeddings = new_map(), embed_pixels(np.zeros(SIZE, int))
    embeddings.low_res[:, :, :, :10] = float("nan")
    language_map.integrate(observe(wall_frame(), embeddings, np.eye(4)))
    assert np.isfinite(language_map.embeddings()).all() and np.isfinite(language_map.similarity(unit(0))).all()


def test_a_frame_without_depth_and_embeddings_of_another_network_are_rejected() -> None:
    frame = dataclasses.replace(wall_frame(), depth_m=None)
    with pytest.raises(ValueError, match="map: expected a frame with intrinsics and with depth"):
        observe(frame, embed_pixels(np.zeros(SIZE, int)), np.eye(4))
    with pytest.raises(ValueError, match="map: expected embeddings of 16 channels, got 8"):
        LanguageMap(MapConfig(map_memory_mb=1), 16).integrate(look(wall_frame()))


def test_an_extent_with_too_many_voxels_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"map_extent_m: expected at most 4096 voxels \(40\.96 m\), got 100 m"):
        MapConfig(map_voxel_m=0.01)
