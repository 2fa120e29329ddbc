"""Tests of the authors' checkpoint keys, and of the architecture that they imply."""

import dataclasses
import json
import zlib
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from lseg_ros.model import PRESETS, LSegConfig
from lseg_ros.model.key_mapping import (
    config_from_keys,
    expected_entries,
    is_unused,
    nearest_preset,
    to_official_key,
    unused_entries,
)
from test.conftest import shared_data_folder

LAYOUTS = json.loads((Path(__file__).parent / "data" / "layouts.json").read_text())["layouts"]
PARTS = ("clip_pretrained.visual.", "clip_pretrained.", "pretrained.model.", "pretrained.", "scratch.")
REFERENCE = shared_data_folder().parent / "reference"  # complete lists, if the shared folder exists


def layout(preset: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of used and unused entries by key."""
    config = PRESETS[preset]
    return {name: tuple(value.shape) for name, value in (expected_entries(config) | unused_entries(config)).items()}


@pytest.mark.parametrize("preset", LAYOUTS)
def test_keys_shapes_and_parameter_counts_are_official(preset: str) -> None:
    parts: dict[str, list[tuple[str, torch.Size]]] = defaultdict(list)
    for name, shape in sorted(layout(preset).items()):
        parts[next(part for part in PARTS if name.startswith(part))].append((name, torch.Size(shape)))
    found = {
        part.rstrip("."): {
            "entries": len(shapes),
            "numbers": sum(shape.numel() for _, shape in shapes),
            "crc32": zlib.crc32("\n".join(f"{name} {list(shape)}" for name, shape in shapes).encode()),
        }
        for part, shapes in parts.items()
    }
    assert found == LAYOUTS[preset]


@pytest.mark.parametrize(
    ("preset", "count"),
    [("vitl16", 730), ("clipRN50x16_vitl16", 1349), ("vitb32", 586), ("zs_vitl16", 730), ("zs_resnet101", 1036)],
)
def test_keys_equal_the_complete_official_lists(preset: str, count: int) -> None:
    assert len(layout(preset)) == count
    listed = REFERENCE / f"lseg_{preset}_keys.json"
    if not listed.exists():
        pytest.skip(f"only the number of keys was compared: no {listed.name} in the shared data folder")
    expected = {name.removeprefix("net."): tuple(shape) for name, (shape, _) in json.loads(listed.read_text()).items()}
    assert layout(preset) == expected


@pytest.mark.parametrize("preset", LAYOUTS)
def test_separates_used_from_unused_entries(preset: str) -> None:
    assert all(is_unused(name) for name in unused_entries(PRESETS[preset]))
    assert not any(is_unused(name) for name in expected_entries(PRESETS[preset]))


@pytest.mark.parametrize("preset", LAYOUTS)
def test_derives_the_architecture_from_keys(preset: str) -> None:
    everything = expected_entries(PRESETS[preset]) | unused_entries(PRESETS[preset])
    assert config_from_keys(everything) == PRESETS[preset]


@pytest.mark.parametrize("preset", ["demo", "demo_small"])
def test_recognizes_a_preset_with_a_stem_by_its_entries(preset: str) -> None:
    entries = expected_entries(PRESETS[preset])
    assert config_from_keys(entries) == PRESETS[preset]
    without_counters = {name: value for name, value in entries.items() if not name.endswith("num_batches_tracked")}
    assert config_from_keys(without_counters) == PRESETS[preset]
    with_block = expected_entries(dataclasses.replace(PRESETS[preset], arch_option=2))
    assert config_from_keys(with_block) == dataclasses.replace(PRESETS[preset], arch_option=1)
    with pytest.raises(ValueError, match="an image backbone that no preset has, without the metadata"):
        config_from_keys(entries | {"scratch.head1.bias": torch.empty(7)})


def test_names_the_depth_of_a_vit_that_the_authors_lack() -> None:
    entries = expected_entries(PRESETS["vitb32"])
    deeper = {name.replace("blocks.11.", "blocks.12."): value for name, value in entries.items()}
    with pytest.raises(ValueError, match="a ViT of 13 blocks instead of 12 or 24"):
        config_from_keys(entries | deeper)


@pytest.mark.parametrize("option", [1, 2])
def test_regularization_block_adds_two_entries(option: int) -> None:
    plain = expected_entries(PRESETS["vitb32"])
    with_block = expected_entries(dataclasses.replace(PRESETS["vitb32"], arch_option=option, block_depth=3))
    added = {name: tuple(with_block[name].shape) for name in set(with_block) - set(plain)}
    block = "scratch.head_block.depthwise.depthwise"
    assert added == {f"{block}.weight": (1, 1, 3, 3), f"{block}.bias": (1,)}


@pytest.mark.parametrize("preset", ["vitl16", "clipRN50x16_vitl16", "vitb32", "zs_resnet101"])
def test_preset_is_nearest_to_itself(preset: str) -> None:
    assert nearest_preset(expected_entries(PRESETS[preset])) == (preset, 1.0)


def test_rejects_an_official_file_of_an_architecture_that_the_authors_lack() -> None:
    for preset in ("demo", "demo_vit"):
        with pytest.raises(ValueError, match="an official network: expected no stem"):
            unused_entries(PRESETS[preset])


def test_a_stem_has_its_own_keys() -> None:
    config: LSegConfig = PRESETS["demo_vit"]
    assert to_official_key("backbone.stem.stage1.0.0.weight", config) == "pretrained.stem.stage1.0.0.weight"
    assert to_official_key("backbone.reassemble.0.project.bias", config) == "pretrained.act_postprocess3.3.bias"
    with pytest.raises(KeyError, match="no official name for 'foo'"):
        to_official_key("foo", config)
