"""The launch files, where launch is installed; that they are Python everywhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def loaded(path: Path) -> ModuleType:
    """A launch file as a module; skips where there is no launch."""
    pytest.importorskip("launch_ros", reason="no launch_ros here, it comes with a ROS installation")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_is_python(path: Path):
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_describes_a_launch(path: Path):
    entities = loaded(path).generate_launch_description().entities
    from launch.actions import DeclareLaunchArgument

    assert {"labels", "rviz"} <= {each.name for each in entities if isinstance(each, DeclareLaunchArgument)}


@pytest.mark.parametrize("text", ["[]", "floor", "[floor, 5]"])
def test_a_list_at_launch_that_is_none_is_refused_in_a_sentence(text: str):
    launch_file = loaded(ROOT / "launch" / "lseg.launch.py")
    assert launch_file._parse_list("labels", "[floor, 'sofa|couch']") == ["floor", "sofa|couch"]
    with pytest.raises(RuntimeError, match="labels: expected a list of texts"):
        launch_file._parse_list("labels", text)


def test_the_nav2_demo_says_what_to_install_where_something_is_missing():
    launch_file = loaded(ROOT / "launch" / "nav2_demo.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations["layer"] = "semantic"
    launch_file.PACKAGES["semantic"] = ("lseg_ros", "nav2_of_nowhere")
    with pytest.raises(RuntimeError, match=r"layer:=semantic needs nav2_of_nowhere, not installed here: sudo apt"):
        launch_file._create_costmap(context)


def test_topics_are_remapped_for_one_camera_and_for_each_of_several():
    launch_file = loaded(ROOT / "launch" / "lseg.launch.py")
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(launch_file.TOPICS | {"image": "/{camera}/color/image_raw"})
    assert launch_file._build_remappings(context, ["front", "rear"]) == [
        ("front/rgb/image", "/front/color/image_raw"),
        ("rear/rgb/image", "/rear/color/image_raw"),
    ]
    context.launch_configurations["image"] = "/camera/image"
    assert launch_file._build_remappings(context, []) == [("rgb/image", "/camera/image")]
