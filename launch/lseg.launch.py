"""Start the node `lseg` on a robot.

    ros2 launch lseg_ros lseg.launch.py image:=/camera/color/image_raw camera_info:=/camera/color/camera_info \
        depth:=/camera/aligned_depth_to_color/image_raw labels:="['floor', 'chair', 'person']" rviz:=true

Several cameras in one node: {camera} in a topic stands for the name of each.

    ros2 launch lseg_ros lseg.launch.py cameras:="['front', 'rear']" image:=/{camera}/color/image_raw \
        camera_info:=/{camera}/color/camera_info depth:=/{camera}/aligned_depth_to_color/image_raw
"""

from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("lseg_ros"))
TOPICS = {
    "image": "rgb/image",
    "compressed_image": "rgb/image/compressed",
    "camera_info": "rgb/camera_info",
    "depth": "depth/image",
}


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name, default_value=topic, description=f"topic for {topic}; {{camera}} stands for each of cameras"
                )
                for name, topic in TOPICS.items()
            ),
            DeclareLaunchArgument(
                "cameras", default_value="", description="such as ['front', 'rear'], each with its own topics"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
            DeclareLaunchArgument(
                "params_file", default_value=str(SHARE / "config" / "lseg.yaml"), description="parameters of the node"
            ),
            DeclareLaunchArgument(
                "labels", default_value="", description="such as ['floor', 'chair']; else the file's"
            ),
            DeclareLaunchArgument("checkpoint", default_value="", description="weights or preset; else the file's"),
            DeclareLaunchArgument("device", default_value="", description="auto, cpu, cuda, cuda:N; else the file's"),
            DeclareLaunchArgument(
                "image_transport", default_value="", description="raw or compressed; else the file's"
            ),
            DeclareLaunchArgument("autostart", default_value="true", description="configure and activate by itself"),
            DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
            DeclareLaunchArgument("rviz", default_value="false", description="show the results in RViz"),
            OpaqueFunction(function=_node),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", str(SHARE / "rviz" / "lseg.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _node(context):
    """The node, with those parameters that were given on the command line."""
    said = {name: LaunchConfiguration(name).perform(context) for name in ("checkpoint", "device", "image_transport")}
    parameters = {name: value for name, value in said.items() if value}
    for name in ("labels", "cameras", "autostart", "use_sim_time"):
        text = LaunchConfiguration(name).perform(context)
        if text:
            parameters[name] = yaml.safe_load(text) if name in ("autostart", "use_sim_time") else _texts(name, text)
    return [
        Node(
            package="lseg_ros",
            executable="lseg_node",
            name="lseg",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), parameters],
            remappings=_remappings(context, parameters.get("cameras", [])),
            output="screen",
        )
    ]


def _texts(name, text):
    """A list of texts from YAML; RuntimeError where it is none: launch itself would speak of tuples."""
    texts = yaml.safe_load(text)
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise RuntimeError(f"{name}: expected a list of texts like \"['one', 'two']\", got {text!r}")
    return texts


def _remappings(context, cameras):
    """From the node's topics, under the name of each camera if there are several, to those that were given."""
    said = {topic: LaunchConfiguration(name).perform(context) for name, topic in TOPICS.items()}
    given = {topic: name for topic, name in said.items() if name != topic}
    if not cameras:
        return list(given.items())
    return [
        (f"{camera}/{topic}", name.replace("{camera}", camera)) for topic, name in given.items() for camera in cameras
    ]
