"""The launch files, where launch is installed; that they are Python everywhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_is_python(path: Path):
    compile(path.read_text(), str(path), "exec")


def launch_file(path: Path) -> ModuleType:
    pytest.importorskip("launch_ros", reason="no launch_ros here, it comes with a ROS installation")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_describes_a_launch(path: Path):
    module = launch_file(path)
    from launch.actions import DeclareLaunchArgument

    entities = module.generate_launch_description().entities
    assert {"labels", "rviz"} <= {each.name for each in entities if isinstance(each, DeclareLaunchArgument)}


def test_topics_are_remapped_for_one_camera_and_for_each_of_several():
    module = launch_file(ROOT / "launch" / "lseg.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(module.TOPICS | {"image": "/{camera}/color/image_raw"})
    assert module._remappings(context, ["front", "rear"]) == [
        ("front/rgb/image", "/front/color/image_raw"),
        ("rear/rgb/image", "/rear/color/image_raw"),
    ]
    context.launch_configurations["image"] = "/camera/image"
    assert module._remappings(context, []) == [("rgb/image", "/camera/image")]
