"""Fill a Nav2 costmap from labels.

Starts a camera, the node and Nav2's costmap without the rest of Nav2:

ros2 launch lseg_ros nav2_demo.launch.py rviz:=true
ros2 launch lseg_ros nav2_demo.launch.py layer:=semantic
ros2 launch lseg_ros nav2_demo.launch.py camera:=mine image:=/camera/color/image_raw \
    camera_info:=/camera/color/camera_info depth:=/camera/aligned_depth_to_color/image_raw

The synthetic camera has no odometry, so its costmap shows what a robot at rest sees. With camera:=mine the robot must
publish tf from global_frame through robot_base_frame to the optical frame of the camera.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("lseg_ros"))
PACKAGES = {  # by costmap layer
    "obstacles": ("nav2_costmap_2d", "nav2_lifecycle_manager"),
    "semantic": ("nav2_costmap_2d", "nav2_lifecycle_manager", "semantic_segmentation_layer"),
}
# Rotation of an optical frame (z forward, x right, REP 103) relative to the robot.
OPTICAL_ROTATION = ["--roll", "-1.5707963", "--pitch", "0", "--yaw", "-1.5707963"]
CAMERA_HEIGHT_M = "1.37"


def generate_launch_description() -> LaunchDescription:
    """Camera, node, costmap and, on request, RViz."""
    topics = {"image": "rgb/image", "camera_info": "rgb/camera_info", "depth": "depth/image"}
    forwarded = (*topics, "labels", "checkpoint", "device", "use_sim_time")
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "layer",
                default_value="obstacles",
                choices=list(PACKAGES),
                description="layer of the costmap: config/nav2_obstacles.yaml or config/nav2_semantic.yaml",
            ),
            DeclareLaunchArgument(
                "camera",
                default_value="synthetic",
                choices=["synthetic", "mine"],
                description="synthetic camera, or the topics of your camera",
            ),
            *(
                DeclareLaunchArgument(name, default_value=topic, description=f"topic to use as {topic}")
                for name, topic in topics.items()
            ),
            DeclareLaunchArgument(
                "labels",
                default_value="",
                description="labels to segment; empty: those of config/lseg.yaml, which the layers use",
            ),
            DeclareLaunchArgument(
                "checkpoint", default_value="", description="preset or weights file; empty: from config/lseg.yaml"
            ),
            DeclareLaunchArgument(
                "device", default_value="", description="auto, cpu, cuda or cuda:N; empty: from config/lseg.yaml"
            ),
            DeclareLaunchArgument(
                "costmap_file", default_value="", description="parameter file of the costmap; empty: that of the layer"
            ),
            DeclareLaunchArgument("global_frame", default_value="odom", description="frame of the costmap"),
            DeclareLaunchArgument("robot_base_frame", default_value="base_link", description="frame of the robot"),
            DeclareLaunchArgument("use_sim_time", default_value="false", description="use the time from /clock"),
            DeclareLaunchArgument("rviz", default_value="false", description="show costmap and clouds in RViz"),
            OpaqueFunction(function=_create_costmap),
            *_create_synthetic_robot(),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "lseg.launch.py")),
                launch_arguments={**{name: LaunchConfiguration(name) for name in forwarded}, "rviz": "false"}.items(),
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(SHARE / "rviz" / "nav2.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _create_synthetic_robot() -> list[Node]:
    """The synthetic camera on a robot that stands still."""
    is_synthetic = IfCondition(PythonExpression(["'", LaunchConfiguration("camera"), "' == 'synthetic'"]))
    base, odom = LaunchConfiguration("robot_base_frame"), LaunchConfiguration("global_frame")
    mount = ["--z", CAMERA_HEIGHT_M, *OPTICAL_ROTATION]
    return [
        Node(package="lseg_ros", executable="synthetic_camera", condition=is_synthetic, output="screen"),
        _create_static_transform("odometry", odom, base, [], is_synthetic),
        _create_static_transform("mount", base, "camera_optical_frame", mount, is_synthetic),
    ]


def _create_static_transform(
    name: str,
    parent: str | LaunchConfiguration,
    child: str | LaunchConfiguration,
    pose: Sequence[str],
    condition: IfCondition,
) -> Node:
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name=name,
        arguments=[*pose, "--frame-id", parent, "--child-frame-id", child],
        condition=condition,
    )


def _create_costmap(context: LaunchContext) -> list[Node]:
    """The costmap and the lifecycle manager that activates it.

    Raises:
        RuntimeError: A package is missing. The message says how to install it.
    """
    layer = LaunchConfiguration("layer").perform(context)
    missing = [package for package in PACKAGES[layer] if not _is_installed(package)]
    if missing:
        raise RuntimeError(
            f"layer:={layer} needs {', '.join(missing)}, not installed here: {_install_instructions(missing)}"
        )
    parameters = LaunchConfiguration("costmap_file").perform(context) or str(SHARE / "config" / f"nav2_{layer}.yaml")
    frames = {name: LaunchConfiguration(name) for name in ("global_frame", "robot_base_frame")}
    use_sim_time = {"use_sim_time": LaunchConfiguration("use_sim_time")}
    # The costmap of Humble adds a namespace with its name.
    name = "costmap/costmap" if os.environ.get("ROS_DISTRO") == "humble" else "costmap"
    return [
        Node(
            package="nav2_costmap_2d",
            executable="nav2_costmap_2d",
            parameters=[parameters, frames, use_sim_time],
            output="screen",
        ),
        Node(
            package="nav2_lifecycle_manager",
            executable="lifecycle_manager",
            name="lifecycle_manager_costmap",
            parameters=[use_sim_time, {"node_names": [name], "autostart": True, "bond_timeout": 0.0}],
            output="screen",
        ),
    ]


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def _install_instructions(missing: Sequence[str]) -> str:
    """How to install the packages: Nav2 from apt, the semantic layer from source."""
    distro = os.environ.get("ROS_DISTRO", "<distro>")
    released = [f"ros-{distro}-{package.replace('_', '-')}" for package in missing if package.startswith("nav2_")]
    steps = [f"sudo apt install {' '.join(released)}"] if released else []
    if "semantic_segmentation_layer" in missing:
        steps.append(f"build branch {distro} of github.com/kiwicampus/semantic_segmentation_layer in your workspace")
    return "; ".join(steps)
