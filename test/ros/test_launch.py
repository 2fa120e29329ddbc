"""The launch files, where launch is installed; that they are Python everywhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_is_python(path: Path):
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_describes_a_launch(path: Path):
    pytest.importorskip("launch_ros", reason="no launch_ros here, it comes with a ROS installation")
    from launch.actions import DeclareLaunchArgument

    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entities = module.generate_launch_description().entities
    assert {"labels", "rviz"} <= {each.name for each in entities if isinstance(each, DeclareLaunchArgument)}


def test_the_rviz_view_needs_no_tf_and_shows_image_overlay_and_clouds():
    view = yaml.safe_load((ROOT / "rviz" / "lseg.rviz").read_text())["Visualization Manager"]
    assert view["Global Options"]["Fixed Frame"] == "camera_optical_frame"
    groups = [each for each in view["Displays"] if "Displays" in each]
    displays = [each for each in view["Displays"] if "Topic" in each]
    assert {"/rgb/image", "/lseg/overlay", "/lseg/points"} <= {each["Topic"]["Value"] for each in displays}
    assert all(each["Topic"]["Value"].startswith("/lseg/points/") for each in groups[0]["Displays"])
