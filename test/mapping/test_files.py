"""Saved maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lseg_ros.mapping import LanguageMap, MapConfig, load_map, save_map
from test.support.rooms import CHANNELS, look, unit, wall_frame


@pytest.fixture
def saved(tmp_path: Path) -> tuple[LanguageMap, Path]:
    language_map = LanguageMap(MapConfig(map_memory_mb=4, map_extent_m=20.0), CHANNELS)
    language_map.integrate(look(wall_frame(stamp_s=3.0), 2))
    path = tmp_path / "map.safetensors"
    save_map(language_map, path, "net", "odom")
    return language_map, path


@pytest.mark.parametrize("config", [None, MapConfig(map_memory_mb=4, map_extent_m=30.0)])
def test_a_loaded_map_equals_the_saved_one(saved: tuple[LanguageMap, Path], config: MapConfig | None) -> None:
    language_map, path = saved
    loaded = load_map(path, "net", config)
    before, after = language_map.voxels(), loaded.voxels()
    assert np.allclose(before.centers, after.centers, atol=1e-5)
    assert (before.colors == after.colors).all() and (before.stamps_ns == after.stamps_ns).all()
    assert (language_map.embeddings() == loaded.embeddings()).all()
    assert (loaded.similarity(unit(2)) > 0.99).all()
    assert loaded.integrate(look(wall_frame(), 2)).added == 0  # the same voxels


def test_a_map_of_another_network_is_refused(saved: tuple[LanguageMap, Path]) -> None:
    with pytest.raises(ValueError, match="expected a map of the network other, got one of 'net'"):
        load_map(saved[1], "other")


def test_limits_that_are_too_small_are_named(saved: tuple[LanguageMap, Path]) -> None:
    with pytest.raises(ValueError, match="map_extent_m: expected a cube that contains the map, got 2 m"):
        load_map(saved[1], "net", MapConfig(map_extent_m=2.0))
    with pytest.raises(ValueError, match=r"expected map_voxel_m 0\.1 as in the settings, got 0\.05"):
        load_map(saved[1], "net", MapConfig(map_voxel_m=0.1))


def test_saving_leaves_no_other_files_and_replaces_the_old_one(saved: tuple[LanguageMap, Path]) -> None:
    language_map, path = saved
    language_map.reset()
    save_map(language_map, path, "net")
    assert [file.name for file in path.parent.iterdir()] == ["map.safetensors"]
    assert len(load_map(path, "net")) == 0


def test_damaged_files_are_one_sentence(saved: tuple[LanguageMap, Path], tmp_path: Path) -> None:
    _, path = saved
    data = path.read_bytes()
    for name, content in (("cut", data[: len(data) // 2]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: expected a language map, got "):
            load_map(tmp_path / name, "net")
    with pytest.raises(FileNotFoundError, match="expected a map, but it does not exist"):
        load_map(tmp_path / "missing", "net")


@pytest.mark.parametrize(
    ("name", "value"), [("embeddings", np.nan), ("weights", -1), ("cells", 0)], ids=["nan", "negative", "twice"]
)
def test_wrong_contents_are_refused(saved: tuple[LanguageMap, Path], tmp_path: Path, name: str, value: float) -> None:
    tensors = load_file(saved[1])
    tensors[name][:] = value
    metadata = {"format": "lseg_ros language map 1", "network": "net", "channels": str(CHANNELS), "voxel_m": "0.05"}
    save_file(tensors, tmp_path / "wrong", metadata=metadata)
    with pytest.raises(ValueError, match="wrong: expected a language map, got "):
        load_map(tmp_path / "wrong", "net")
