"""Tests that the example configurations use existing topics and declared parameters."""

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
TOPICS = {topic.name.replace("~", "/lseg") for topic in OUTPUTS} | {f"/{topic.name}" for topic in INPUTS} | set(CLOUDS)

# The parameters that these plugins declare in their sources for Humble, Jazzy and Rolling (as of 2026-11). Undeclared
# parameters are ignored.
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


def plain_values(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a layer without the blocks of its sources."""
    return {name: value for name, value in layer.items() if not isinstance(value, dict) and name != "plugin"}


def check_declared(parameters: Mapping[str, Any], declared: Mapping[str, type]) -> None:
    """Check names and types of parameters.

    C++ nodes reject values of another type, for example 2 for a double.
    """
    for name, value in parameters.items():
        assert name in declared
        assert type(value) is declared[name], name


@pytest.mark.parametrize("name", ["nav2_obstacles.yaml", "nav2_semantic.yaml"])
def test_costmap_configures_its_layers_and_inflates_last(name: str) -> None:
    parameters = costmap(name)
    assert parameters["plugins"][-1] == "inflation_layer"
    assert all("plugin" in parameters[layer] for layer in parameters["plugins"])


def test_sources_of_the_voxel_layer_are_node_topics_with_height_limits() -> None:
    layer = costmap("nav2_obstacles.yaml")["label_layer"]
    check_declared(plain_values(layer), VOXEL_LAYER)
    for name in layer["observation_sources"].split():
        source = layer[name]
        check_declared(source, SOURCE)
        assert source["topic"] in TOPICS
        assert source["data_type"] == "PointCloud2"
        assert source["min_obstacle_height"] < source["max_obstacle_height"]  # both default to 0
        if source["marking"]:
            assert source["topic"] in CLOUDS
            assert layer["min_obstacle_height"] <= source["min_obstacle_height"]


def test_clearing_reaches_as_far_as_marking_and_the_floor_is_not_marked() -> None:
    layer = costmap("nav2_obstacles.yaml")["label_layer"]
    sources = [layer[name] for name in layer["observation_sources"].split()]
    marking, clearing = ([source for source in sources if source[kind]] for kind in ("marking", "clearing"))
    assert max(source["raytrace_max_range"] for source in clearing) >= max(
        source["obstacle_max_range"] for source in marking
    )
    assert {CLOUDS[source["topic"]].name for source in marking} == set(LABELS.names) - {"floor"}
    assert 1 <= layer["z_voxels"] <= 16  # a voxel column is stored in 32 bits, 2 per voxel


def test_semantic_layer_reads_node_topics_and_lists_every_label_once() -> None:
    layer = costmap("nav2_semantic.yaml")["semantic_layer"]
    check_declared(plain_values(layer), SEMANTIC_LAYER)
    for name in layer["observation_sources"].split():
        source = layer[name]
        check_declared(plain_values(source), SEMANTIC_SOURCE)
        assert {topic for key, topic in source.items() if key.endswith("_topic")} <= TOPICS
        types = [source[name] for name in source["class_types"]]
        for class_type in types:
            check_declared(class_type, CLASS_TYPE)
            assert 0 <= class_type["base_cost"] <= class_type["max_cost"] <= 254
            assert 0 <= class_type["mark_confidence"] <= 255
        assert sorted(label for class_type in types for label in class_type["classes"]) == sorted(LABELS.names)


def displays(view: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for display in view["Displays"]:
        yield from displays(display) if "Displays" in display else [display]


@pytest.mark.parametrize("name", ["lseg.rviz", "nav2.rviz"])
def test_rviz_views_show_overlay_and_clouds_with_matching_qos(name: str) -> None:
    shown = list(displays(yaml.safe_load((ROOT / "rviz" / name).read_text())["Visualization Manager"]))
    topics = [display["Topic"] for display in shown]
    assert {topic["Value"] for topic in topics} <= TOPICS | {"/costmap"}
    assert {"/lseg/overlay", *CLOUDS} <= {topic["Value"] for topic in topics}
    for display in shown:
        assert display["Topic"]["Durability Policy"] == ("Transient Local" if "Map" in display["Class"] else "Volatile")
        if display["Topic"]["Value"] in CLOUDS:
            assert display["Class"] == "rviz_default_plugins/PointCloud2"
            assert display["Color"] == "; ".join(map(str, CLOUDS[display["Topic"]["Value"]].color))


def test_rviz_view_of_the_node_needs_no_tf() -> None:
    view = yaml.safe_load((ROOT / "rviz" / "lseg.rviz").read_text())["Visualization Manager"]
    assert view["Global Options"]["Fixed Frame"] == "camera_optical_frame"
    assert {"/rgb/image", "/lseg/points"} <= {display["Topic"]["Value"] for display in displays(view)}
