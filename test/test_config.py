"""The example configurations: every topic is one of the node's, and every parameter is one that its reader knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lseg_ros.ros.topics import CLOUD_PREFIX, INPUTS, OUTPUTS
from lseg_ros.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
LABELS = Vocabulary.of(yaml.safe_load((ROOT / "config/lseg.yaml").read_text())["/**"]["ros__parameters"]["labels"])
CLOUDS = {f"{CLOUD_PREFIX}{label.slug}".replace("~", "/lseg"): label for label in LABELS.labels}
TOPICS = {each.name.replace("~", "/lseg") for each in OUTPUTS} | {f"/{each.name}" for each in INPUTS} | set(CLOUDS)

# The parameters that these plugins declare, by their sources for Humble, Jazzy and rolling (read in 2026-11): what is
# not declared is never read.
SOURCE = {
    "topic": str,
    "sensor_frame": str,
    "observation_persistence": float,
    "expected_update_rate": float,
    "data_type": str,
    "min_obstacle_height": float,
    "max_obstacle_height": float,
    "inf_is_valid": bool,
    "marking": bool,
    "clearing": bool,
    "obstacle_max_range": float,
    "obstacle_min_range": float,
    "raytrace_max_range": float,
    "raytrace_min_range": float,
}
VOXEL_LAYER = {
    "enabled": bool,
    "footprint_clearing_enabled": bool,
    "min_obstacle_height": float,
    "max_obstacle_height": float,
    "combination_method": int,
    "observation_sources": str,
    "z_voxels": int,
    "origin_z": float,
    "z_resolution": float,
    "unknown_threshold": int,
    "mark_threshold": int,
    "publish_voxel_map": bool,
}
SEMANTIC_LAYER = {
    "enabled": bool,
    "combination_method": int,
    "observation_sources": str,
    "publish_debug_topics": bool,
    "use_approximate_time_sync": bool,
}
SEMANTIC_SOURCE = {
    "segmentation_topic": str,
    "confidence_topic": str,
    "labels_topic": str,
    "pointcloud_topic": str,
    "observation_persistence": float,
    "expected_update_rate": float,
    "class_types": list,
    "max_obstacle_distance": float,
    "min_obstacle_distance": float,
    "tile_map_decay_time": float,
    "visualize_tile_map": bool,
    "use_cost_selection": bool,
}
CLASS_TYPE = {
    "classes": list,
    "base_cost": int,
    "max_cost": int,
    "mark_confidence": int,
    "samples_to_max_cost": int,
    "dominant_priority": bool,
}


def costmap(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / name).read_text())["/**"]["ros__parameters"]


def values(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer says of itself, without the blocks of its sources."""
    return {name: each for name, each in layer.items() if not isinstance(each, dict) and name != "plugin"}


def check_declared(parameters: Mapping[str, Any], declared: Mapping[str, type]) -> None:
    """A C++ node declares a type with each parameter and refuses to start with another: 2 is no double."""
    for name, value in parameters.items():
        assert name in declared
        assert type(value) is declared[name], name


@pytest.mark.parametrize("name", ["nav2_obstacles.yaml", "nav2_semantic.yaml"])
def test_a_costmap_has_its_layers_and_inflates_last(name: str) -> None:
    parameters = costmap(name)
    assert parameters["plugins"][-1] == "inflation_layer"
    assert all("plugin" in parameters[layer] for layer in parameters["plugins"])


def test_each_source_of_the_voxel_layer_is_a_cloud_of_the_node_with_its_height_limits_set() -> None:
    layer = costmap("nav2_obstacles.yaml")["label_layer"]
    check_declared(values(layer), VOXEL_LAYER)
    for name in layer["observation_sources"].split():
        source = layer[name]
        check_declared(source, SOURCE)
        assert source["topic"] in TOPICS
        assert source["data_type"] == "PointCloud2"
        assert source["min_obstacle_height"] < source["max_obstacle_height"]  # both are 0 where they are not set
        if source["marking"]:
            assert source["topic"] in CLOUDS
            assert layer["min_obstacle_height"] <= source["min_obstacle_height"]


def test_what_is_marked_is_cleared_as_far_as_it_is_marked_and_the_floor_is_never_marked() -> None:
    layer = costmap("nav2_obstacles.yaml")["label_layer"]
    sources = [layer[name] for name in layer["observation_sources"].split()]
    marking, clearing = ([each for each in sources if each[kind]] for kind in ("marking", "clearing"))
    assert max(each["raytrace_max_range"] for each in clearing) >= max(each["obstacle_max_range"] for each in marking)
    assert {CLOUDS[each["topic"]].name for each in marking} == set(LABELS.names) - {"floor"}
    assert 1 <= layer["z_voxels"] <= 16  # a voxel is two bits of 32


def test_the_semantic_layer_reads_the_topics_of_the_node_and_knows_each_label_once() -> None:
    layer = costmap("nav2_semantic.yaml")["semantic_layer"]
    check_declared(values(layer), SEMANTIC_LAYER)
    for name in layer["observation_sources"].split():
        source = layer[name]
        check_declared(values(source), SEMANTIC_SOURCE)
        assert {each for key, each in source.items() if key.endswith("_topic")} <= TOPICS
        types = [source[each] for each in source["class_types"]]
        for each in types:
            check_declared(each, CLASS_TYPE)
            assert 0 <= each["base_cost"] <= each["max_cost"] <= 254
            assert 0 <= each["mark_confidence"] <= 255
        assert sorted(label for each in types for label in each["classes"]) == sorted(LABELS.names)


def displays(view: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for each in view["Displays"]:
        yield from displays(each) if "Displays" in each else [each]


@pytest.mark.parametrize("name", ["lseg.rviz", "nav2.rviz"])
def test_a_view_shows_overlay_and_clouds_as_the_node_publishes_them(name: str) -> None:
    shown = list(displays(yaml.safe_load((ROOT / "rviz" / name).read_text())["Visualization Manager"]))
    topics = [each["Topic"] for each in shown]
    assert {each["Value"] for each in topics} <= TOPICS | {"/costmap"}
    assert {"/lseg/overlay", *CLOUDS} <= {each["Value"] for each in topics}
    for each in shown:
        assert each["Topic"]["Durability Policy"] == ("Transient Local" if "Map" in each["Class"] else "Volatile")
        if each["Topic"]["Value"] in CLOUDS:
            assert each["Class"] == "rviz_default_plugins/PointCloud2"
            assert each["Color"] == "; ".join(map(str, CLOUDS[each["Topic"]["Value"]].color))


def test_the_view_of_the_node_needs_no_tf_and_shows_the_organized_cloud() -> None:
    view = yaml.safe_load((ROOT / "rviz" / "lseg.rviz").read_text())["Visualization Manager"]
    assert view["Global Options"]["Fixed Frame"] == "camera_optical_frame"
    assert {"/rgb/image", "/lseg/points"} <= {each["Topic"]["Value"] for each in displays(view)}
