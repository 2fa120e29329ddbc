"""The launch files, where launch is installed; that they are Python everywhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

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
