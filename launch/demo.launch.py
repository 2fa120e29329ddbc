"""Start the node with a synthetic camera or with a recording.

ros2 launch lseg_ros demo.launch.py
ros2 launch lseg_ros demo.launch.py camera:=desk rviz:=true
ros2 launch lseg_ros demo.launch.py folder:=/data/tum_fr1_rpy rviz:=true
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from lseg_ros.desk import DESK_FOLDER, DESK_LABELS

SHARE = Path(get_package_share_directory("lseg_ros"))
LABELS = ("floor", "wall", "ceiling", "table", "chair", "person")


def generate_launch_description() -> LaunchDescription:
    """Camera and node; the arguments ``camera`` and ``folder`` select the camera."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "camera",
                default_value="synthetic",
                choices=["synthetic", "desk"],
                description="synthetic camera, or a recording of a real desk, played in a loop",
            ),
            DeclareLaunchArgument(
                "folder", default_value="", description="RGB-D folder to play in a loop instead of the camera"
            ),
            DeclareLaunchArgument("seed", default_value="8", description="seed of the synthetic world"),
            DeclareLaunchArgument(
                "labels", default_value="", description="labels to segment; empty: labels that suit the camera"
            ),
            DeclareLaunchArgument("rviz", default_value="false", description="show the results in RViz"),
            DeclareLaunchArgument("viewer", default_value="false", description="serve a page on http://127.0.0.1:8080"),
            OpaqueFunction(function=_create_camera_and_node),
        ]
    )


def _create_camera_and_node(context: LaunchContext) -> list[Node | IncludeLaunchDescription]:
    folder, labels = _select(context)
    if folder:
        camera, parameters = "replay_camera", {"folder": folder, "loop": True}
    else:
        camera, parameters = "synthetic_camera", {"seed": LaunchConfiguration("seed")}
    return [
        Node(package="lseg_ros", executable=camera, parameters=[parameters], output="screen"),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / "launch" / "lseg.launch.py")),
            launch_arguments={
                "labels": labels,
                "rviz": LaunchConfiguration("rviz"),
                "viewer": LaunchConfiguration("viewer"),
            }.items(),
        ),
    ]


def _select(context: LaunchContext) -> tuple[str, str]:
    """Return the folder to play ("" for the synthetic camera) and a YAML list of labels."""
    camera, folder, labels = (LaunchConfiguration(name).perform(context) for name in ("camera", "folder", "labels"))
    default_folder, default_labels = (str(DESK_FOLDER), DESK_LABELS) if camera == "desk" else ("", LABELS)
    return folder or default_folder, labels or str(list(default_labels))
