"""A Nav2 costmap that is filled by words: a camera, the node, and nothing of Nav2 but the costmap.

ros2 launch lseg_ros nav2_demo.launch.py rviz:=true
ros2 launch lseg_ros nav2_demo.launch.py layer:=semantic
ros2 launch lseg_ros nav2_demo.launch.py camera:=mine image:=/camera/color/image_raw \
    camera_info:=/camera/color/camera_info depth:=/camera/aligned_depth_to_color/image_raw

The synthetic camera has no odometry: its costmap is what the robot sees from where it stands. With a camera of your
own, your robot says where it is (tf from global_frame over robot_base_frame to the camera's optical frame).
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("lseg_ros"))
PACKAGES = {
    "obstacles": ("nav2_costmap_2d", "nav2_lifecycle_manager"),
    "semantic": ("nav2_costmap_2d", "nav2_lifecycle_manager", "semantic_segmentation_layer"),
}
# Of an optical frame in its robot's: z forward, x right (REP 103).
OPTICAL = ["--roll", "-1.5707963", "--pitch", "0", "--yaw", "-1.5707963"]


def generate_launch_description():
    topics = {"image": "rgb/image", "camera_info": "rgb/camera_info", "depth": "depth/image"}
    passed_on = (*topics, "labels", "checkpoint", "device", "use_sim_time")
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "layer",
                default_value="obstacles",
                choices=list(PACKAGES),
                description="config/nav2_obstacles.yaml or config/nav2_semantic.yaml",
            ),
            DeclareLaunchArgument(
                "camera", default_value="synthetic", choices=["synthetic", "mine"], description="whose pictures"
            ),
            *(
                DeclareLaunchArgument(name, default_value=topic, description=f"topic of the camera for {topic}")
                for name, topic in topics.items()
            ),
            DeclareLaunchArgument(
                "labels", default_value="", description="else those of config/lseg.yaml, which the layers know"
            ),
            DeclareLaunchArgument("checkpoint", default_value="", description="weights or preset; else the file's"),
            DeclareLaunchArgument("device", default_value="", description="auto, cpu, cuda, cuda:N; else the file's"),
            DeclareLaunchArgument("costmap_file", default_value="", description="parameters instead of the layer's"),
            DeclareLaunchArgument("global_frame", default_value="odom", description="frame of the costmap"),
            DeclareLaunchArgument("robot_base_frame", default_value="base_link", description="frame of the robot"),
            DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
            DeclareLaunchArgument("rviz", default_value="false", description="show costmap and clouds in RViz"),
            OpaqueFunction(function=_costmap),
            *_synthetic_robot(),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "lseg.launch.py")),
                launch_arguments={**{name: LaunchConfiguration(name) for name in passed_on}, "rviz": "false"}.items(),
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(SHARE / "rviz" / "nav2.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _synthetic_robot():
    """The synthetic camera, carried 1.37 m above the ground by a robot that claims to stand still."""
    synthetic = IfCondition(PythonExpression(["'", LaunchConfiguration("camera"), "' == 'synthetic'"]))
    base, odom = LaunchConfiguration("robot_base_frame"), LaunchConfiguration("global_frame")
    return [
        Node(package="lseg_ros", executable="synthetic_camera", condition=synthetic, output="screen"),
        _static_transform("odometry", odom, base, [], synthetic),
        _static_transform("mount", base, "camera_optical_frame", ["--z", "1.37", *OPTICAL], synthetic),
    ]


def _static_transform(name, parent, child, pose, condition):
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        name=name,
        arguments=[*pose, "--frame-id", parent, "--child-frame-id", child],
        condition=condition,
    )


def _costmap(context):
    """Nav2's costmap alone, brought up by Nav2's lifecycle manager; RuntimeError where a package is missing."""
    layer = LaunchConfiguration("layer").perform(context)
    missing = [package for package in PACKAGES[layer] if not _is_installed(package)]
    if missing:
        raise RuntimeError(f"layer:={layer} needs {', '.join(missing)}, not installed here: {_advice(missing)}")
    parameters = LaunchConfiguration("costmap_file").perform(context) or str(SHARE / "config" / f"nav2_{layer}.yaml")
    frames = {name: LaunchConfiguration(name) for name in ("global_frame", "robot_base_frame")}
    use_sim_time = {"use_sim_time": LaunchConfiguration("use_sim_time")}
    # Humble's costmap puts itself into a namespace of its own.
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


def _is_installed(package):
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def _advice(missing):
    """Where the packages come from: Nav2's are released, the layer is built from its sources."""
    distro = os.environ.get("ROS_DISTRO", "<distro>")
    released = [f"ros-{distro}-{package.replace('_', '-')}" for package in missing if package.startswith("nav2_")]
    steps = [f"sudo apt install {' '.join(released)}"] if released else []
    if "semantic_segmentation_layer" in missing:
        steps.append(f"build branch {distro} of github.com/kiwicampus/semantic_segmentation_layer in your workspace")
    return "; ".join(steps)
