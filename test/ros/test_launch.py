"""Tests of the launch files. Most of them need launch_ros."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from lseg_ros.desk import DESK_FOLDER, DESK_LABELS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def load(path: Path) -> ModuleType:
    """Load a launch file as a module. Skip the test if launch_ros is missing."""
    pytest.importorskip("launch_ros", reason="no launch_ros: it is part of a ROS installation")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_launch_files_are_valid_python(path: Path) -> None:
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_launch_files_declare_labels_and_rviz(path: Path) -> None:
    entities = load(path).generate_launch_description().entities
    from launch.actions import DeclareLaunchArgument

    assert {"labels", "rviz"} <= {entity.name for entity in entities if isinstance(entity, DeclareLaunchArgument)}


@pytest.mark.parametrize(
    ("arguments", "folder", "labels"),
    [
        ({}, "", ["floor", "wall", "ceiling", "table", "chair", "person"]),
        ({"camera": "desk"}, str(DESK_FOLDER), list(DESK_LABELS)),
        ({"camera": "desk", "labels": "[cup]"}, str(DESK_FOLDER), ["cup"]),
        ({"folder": "/data/mine", "labels": "['floor', 'sofa|couch']"}, "/data/mine", ["floor", "sofa|couch"]),
    ],
)
def test_the_camera_of_the_demo_selects_recording_and_labels(
    arguments: dict[str, str], folder: str, labels: list[str]
) -> None:
    launch_file = load(ROOT / "launch" / "demo.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update({"camera": "synthetic", "folder": "", "labels": ""} | arguments)
    chosen_folder, chosen_labels = launch_file._select(context)
    assert (chosen_folder, yaml.safe_load(chosen_labels)) == (folder, labels)


@pytest.mark.parametrize(("camera", "executable"), [("synthetic", "synthetic_camera"), ("desk", "replay_camera")])
def test_the_demo_starts_one_camera_and_the_node(camera: str, executable: str) -> None:
    launch_file = load(ROOT / "launch" / "demo.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update({"camera": camera, "folder": "", "labels": ""})
    started, _ = launch_file._create_camera_and_node(context)
    assert started.node_executable == executable


@pytest.mark.parametrize("text", ["[]", "floor", "[floor, 5]"])
def test_rejects_launch_arguments_that_are_not_lists_of_texts(text: str) -> None:
    launch_file = load(ROOT / "launch" / "lseg.launch.py")
    assert launch_file._parse_list("labels", "[floor, 'sofa|couch']") == ["floor", "sofa|couch"]
    with pytest.raises(RuntimeError, match="labels: expected a list of texts"):
        launch_file._parse_list("labels", text)


def test_nav2_demo_says_how_to_install_a_missing_package() -> None:
    launch_file = load(ROOT / "launch" / "nav2_demo.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations["layer"] = "semantic"
    launch_file.PACKAGES["semantic"] = ("lseg_ros", "nav2_of_nowhere")
    with pytest.raises(RuntimeError, match=r"layer:=semantic needs nav2_of_nowhere, not installed here: sudo apt"):
        launch_file._create_costmap(context)


def test_remaps_the_topics_of_one_or_several_cameras() -> None:
    launch_file = load(ROOT / "launch" / "lseg.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(launch_file.TOPICS | {"image": "/{camera}/color/image_raw"})
    assert launch_file._build_remappings(context, ["front", "rear"]) == [
        ("front/rgb/image", "/front/color/image_raw"),
        ("rear/rgb/image", "/rear/color/image_raw"),
    ]
    context.launch_configurations["image"] = "/camera/image"
    assert launch_file._build_remappings(context, []) == [("rgb/image", "/camera/image")]
