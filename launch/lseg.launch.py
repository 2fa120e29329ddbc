"""Start the node ``lseg`` on a robot.

    ros2 launch lseg_ros lseg.launch.py image:=/camera/color/image_raw camera_info:=/camera/color/camera_info \
        depth:=/camera/aligned_depth_to_color/image_raw labels:="['floor', 'chair', 'person']" rviz:=true

One node can serve several cameras. ``{camera}`` in a topic is replaced by the name of each camera.

    ros2 launch lseg_ros lseg.launch.py cameras:="['front', 'rear']" image:=/{camera}/color/image_raw \
        camera_info:=/{camera}/color/camera_info depth:=/{camera}/aligned_depth_to_color/image_raw
"""

from collections.abc import Sequence
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("lseg_ros"))
TOPICS = {  # topic of the node by launch argument
    "image": "rgb/image",
    "compressed_image": "rgb/image/compressed",
    "camera_info": "rgb/camera_info",
    "depth": "depth/image",
}


def generate_launch_description() -> LaunchDescription:
    """The node and, on request, RViz."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name,
                    default_value=topic,
                    description=f"topic to use as {topic}; {{camera}} is replaced by the name of each camera",
                )
                for name, topic in TOPICS.items()
            ),
            DeclareLaunchArgument(
                "cameras", default_value="", description="names of several cameras, such as ['front', 'rear']"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
            DeclareLaunchArgument(
                "params_file", default_value=str(SHARE / "config" / "lseg.yaml"), description="parameter file"
            ),
            DeclareLaunchArgument(
                "labels", default_value="", description="labels such as ['floor', 'chair']; empty: from params_file"
            ),
            DeclareLaunchArgument(
                "checkpoint", default_value="", description="preset or weights file; empty: from params_file"
            ),
            DeclareLaunchArgument(
                "device", default_value="", description="auto, cpu, cuda or cuda:N; empty: from params_file"
            ),
            DeclareLaunchArgument(
                "image_transport", default_value="", description="raw or compressed; empty: from params_file"
            ),
            DeclareLaunchArgument(
                "autostart", default_value="true", description="configure and activate the node at the start"
            ),
            DeclareLaunchArgument("use_sim_time", default_value="false", description="use the time from /clock"),
            DeclareLaunchArgument("rviz", default_value="false", description="show the results in RViz"),
            DeclareLaunchArgument("viewer", default_value="false", description="serve a page on http://127.0.0.1:8080"),
            OpaqueFunction(function=_create_node),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", str(SHARE / "rviz" / "lseg.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _create_node(context: LaunchContext) -> list[Node]:
    """Create the node and the viewer; empty arguments do not override the parameter file."""
    parameters = {}
    for name in ("checkpoint", "device", "image_transport"):
        if value := LaunchConfiguration(name).perform(context):
            parameters[name] = value
    for name in ("labels", "cameras"):
        if text := LaunchConfiguration(name).perform(context):
            parameters[name] = _parse_list(name, text)
    for name in ("autostart", "use_sim_time"):
        if text := LaunchConfiguration(name).perform(context):
            parameters[name] = yaml.safe_load(text)
    cameras = parameters.get("cameras", [])
    namespace, remappings = LaunchConfiguration("namespace"), _build_remappings(context, cameras)
    node = Node(
        package="lseg_ros",
        executable="lseg_node",
        name="lseg",
        namespace=namespace,
        parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=remappings,
        output="screen",
    )
    selected = {"camera": cameras[0]} if cameras else {}
    if "image_transport" in parameters:
        selected["image_transport"] = parameters["image_transport"]
    viewer = Node(
        package="lseg_ros",
        executable="viewer",
        namespace=namespace,
        parameters=[{"use_sim_time": parameters.get("use_sim_time", False), **selected}],
        remappings=remappings,
        output="screen",
        condition=IfCondition(LaunchConfiguration("viewer")),
    )
    return [node, viewer]


def _parse_list(name: str, text: str) -> list[str]:
    """Parse a YAML list of texts.

    Raises:
        RuntimeError: The text is something else. Without this check launch reports an error about tuples.
    """
    texts = yaml.safe_load(text)
    if not isinstance(texts, list) or not texts or not all(isinstance(item, str) for item in texts):
        raise RuntimeError(f"{name}: expected a list of texts like \"['one', 'two']\", got {text!r}")
    return texts


def _build_remappings(context: LaunchContext, cameras: Sequence[str]) -> list[tuple[str, str]]:
    """Map the topics of the node or of its cameras to the topics given as arguments."""
    values = {topic: LaunchConfiguration(name).perform(context) for name, topic in TOPICS.items()}
    changed = {topic: value for topic, value in values.items() if value != topic}
    if not cameras:
        return list(changed.items())
    return [
        (f"{camera}/{topic}", value.replace("{camera}", camera))
        for topic, value in changed.items()
        for camera in cameras
    ]
