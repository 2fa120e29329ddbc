"""Start the node with a synthetic camera or with a recording.

ros2 launch lseg_ros demo.launch.py
ros2 launch lseg_ros demo.launch.py folder:=/data/tum_fr1_rpy rviz:=true
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("lseg_ros"))
LABELS = "['floor', 'wall', 'ceiling', 'table', 'chair', 'person']"


def generate_launch_description() -> LaunchDescription:
    """Camera and node; the argument ``folder`` selects the camera."""
    folder = LaunchConfiguration("folder")
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "folder", default_value="", description="RGB-D folder to replay; empty for the synthetic camera"
            ),
            DeclareLaunchArgument("seed", default_value="8", description="seed of the synthetic world"),
            DeclareLaunchArgument("labels", default_value=LABELS, description="labels to segment"),
            DeclareLaunchArgument("rviz", default_value="false", description="show the results in RViz"),
            Node(
                package="lseg_ros",
                executable="synthetic_camera",
                parameters=[{"seed": LaunchConfiguration("seed")}],
                condition=IfCondition(PythonExpression(["'", folder, "' == ''"])),
                output="screen",
            ),
            Node(
                package="lseg_ros",
                executable="replay_camera",
                parameters=[{"folder": folder, "loop": True}],
                condition=IfCondition(PythonExpression(["'", folder, "' != ''"])),
                output="screen",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "lseg.launch.py")),
                launch_arguments={"labels": LaunchConfiguration("labels"), "rviz": LaunchConfiguration("rviz")}.items(),
            ),
        ]
    )
