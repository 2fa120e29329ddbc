"""Settings dataclasses as ROS parameters, with type, description and range.

The dataclass validates the values.
"""

from __future__ import annotations

import array
import dataclasses
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from lseg_ros.quoting import quote
from lseg_ros.ros.topics import check_cameras
from lseg_ros.settings import Setting, check, list_settings, setting
from lseg_ros.transforms import parse_pose
from lseg_ros.vocabulary import parse_synonyms

__all__ = ["NodeConfig", "declare", "explain_wrong_type", "parameter_default", "read", "with_parameters"]

C = TypeVar("C")

_MAX_INTEGER = 2**31 - 1
_TEXT_HINT = "; YAML reads words such as yes, off, nan and 12 as other types, put them in quotes"


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    """Settings of the node: labels, cameras and timing."""

    labels: tuple[str, ...] = setting(
        ("floor", "wall", "chair", "table", "person", "plant"),
        "what to look for, one text per label; | separates synonyms that share one id, such as 'sofa|couch'",
        dynamic=True,
    )
    class_ids: tuple[int, ...] = setting(
        (), "ids of the initial labels, 1 to 254, one per label; [0] to assign them automatically"
    )
    colors: tuple[str, ...] = setting(
        (), "colors of the initial labels, one per label: '#rrggbb', or '' for a color derived from the name"
    )
    prompt_templates: tuple[str, ...] = setting(
        ("{}",), "sentences with {} for the label text; the embeddings of all sentences are averaged"
    )
    query_threshold: float = setting(
        0.55,
        "minimum cosine similarity of the best pixel for ~/query to report a match; depends on the checkpoint",
        minimum=-1.0,
        maximum=1.0,
        dynamic=True,
    )
    max_rate_hz: float = setting(
        0.0,
        "maximum number of frames processed per second, 0 for no limit",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
        dynamic=True,
    )
    sync_slop_s: float = setting(
        0.05,
        "maximum difference between the stamps of an image and its depth",
        unit="s",
        minimum=0.0,
        maximum=1.0,
        dynamic=True,
    )
    sync_wait_s: float = setting(
        0.05,
        "how long an image waits for depth and camera_info that arrive after it",
        unit="s",
        minimum=0.0,
        maximum=1.0,
        dynamic=True,
    )
    max_frame_age_s: float = setting(
        0.0,
        "maximum age of an image's stamp when it is processed; older images are dropped, 0 for no limit",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
        dynamic=True,
    )
    retire_grace_s: float = setting(
        5.0,
        "how long removed labels stay listed in label_info",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
        dynamic=True,
    )
    image_transport: str = setting(
        "raw",
        "image topic to subscribe to: rgb/image (raw) or rgb/image/compressed (compressed)",
        choices=("raw", "compressed"),
    )
    depth_transport: str = setting(
        "raw",
        "depth topic to subscribe to: depth/image (raw) or depth/image/compressedDepth",
        choices=("raw", "compressedDepth"),
    )
    register_depth: bool = setting(
        False, "register depth of another camera to the image, with depth/camera_info and tf or depth_extrinsics"
    )
    depth_extrinsics: tuple[str, ...] = setting(
        (),
        "pose of each depth camera in the optical frame of its image, 'x y z qx qy qz qw' in meters; empty to use tf",
    )
    points_source: str = setting(
        "depth", "where points come from: depth images, the lidar (cloud), or both", choices=("depth", "cloud", "both")
    )
    cloud_slop_s: float = setting(
        0.1,
        "maximum difference between the stamps of an image and a cloud",
        unit="s",
        minimum=0.0,
        maximum=1.0,
        dynamic=True,
    )
    cloud_extrinsics: tuple[str, ...] = setting(
        (),
        "pose of the lidar in the optical frame of each camera, 'x y z qx qy qz qw' in meters; empty to use tf",
    )
    fixed_frame: str = setting(
        "",
        "frame that does not move, such as odom: corrects the motion between cloud and image; empty for none",
        dynamic=True,
    )
    cameras: tuple[str, ...] = setting(
        (), "names of several cameras, used as prefixes of their topics; empty for one camera without a prefix"
    )
    map: bool = setting(False, "build a map of pixel embeddings that ~/map/find searches; needs depth and poses")
    map_frame: str = setting("map", "coordinate frame of the map, in which poses are given")
    map_pose: str = setting(
        "tf", "where poses come from: tf, or the topics odom (odometry) or pose", choices=("tf", "odometry", "pose")
    )
    map_camera_pose: str = setting(
        "",
        "pose of the optical frame in the frame that odom or pose describe, 'x y z qx qy qz qw' in meters; "
        "empty if they describe the optical frame",
    )
    map_color: str = setting("", "text whose similarity colors ~/map/cloud; empty to color by label", dynamic=True)
    autostart: bool = setting(True, "configure and activate at startup; if false, wait for lifecycle requests")

    def __post_init__(self) -> None:
        check(self)
        check_cameras(self.cameras)
        for name, poses in (("cloud_extrinsics", self.cloud_extrinsics), ("depth_extrinsics", self.depth_extrinsics)):
            for pose in poses:
                parse_pose(pose, name)
            cameras = max(len(self.cameras), 1)
            if poses and len(poses) != cameras:
                raise ValueError(f"{name}: expected one pose per camera ({cameras}), got {len(poses)}")
        if self.map_camera_pose:
            parse_pose(self.map_camera_pose, "map_camera_pose")
        if self.map_color:
            parse_synonyms(self.map_color, "map_color")

    @property
    def uses_tf(self) -> bool:
        """Whether poses come from tf."""
        return (
            (self.map and self.map_pose == "tf")
            or (self.points_source != "depth" and not self.cloud_extrinsics)
            or (self.register_depth and self.points_source != "cloud" and not self.depth_extrinsics)
        )


def explain_wrong_type(node: Node, parameters: Iterable[Parameter]) -> str:
    """Describe the first parameter whose type differs from its declaration.

    The message of rclpy names neither the parameter nor its value.

    Returns:
        The description, or "" if all types are right.
    """
    for parameter in parameters:
        declared = node.get_parameter(parameter.name).type_ if node.has_parameter(parameter.name) else parameter.type_
        if parameter.type_ not in (declared, Parameter.Type.NOT_SET):
            hint = _TEXT_HINT if declared == Parameter.Type.STRING_ARRAY else ""
            value = parameter.value
            value = list(value) if isinstance(value, array.array) else value
            expected, got = (kind.name.lower().replace("_", " ") for kind in (declared, parameter.type_))
            return f"{parameter.name}: expected a {expected}, got the {got} {quote(str(value))}{hint}"
    return ""


def declare(node: Node, config: type) -> None:
    """Declare every setting of a dataclass as a parameter.

    Raises:
        ValueError: If a start-up value is invalid. The message names the parameter.
    """
    for item in list_settings(config):
        expected = f"{item.name}: expected a value like {parameter_default(item)!r}"
        try:
            node.declare_parameter(item.name, parameter_default(item), _descriptor(item))
            node.get_parameter(item.name)
        except ParameterUninitializedException:  # an empty list in a parameter file; some distributions raise earlier
            raise ValueError(f"{expected}, got an empty list") from None
        except InvalidParameterTypeException as error:
            hint = _TEXT_HINT if item.type == tuple[str, ...] else ""
            raise ValueError(f"{expected}, got another type ({error}){hint}") from None
        except InvalidParameterValueException as error:
            raise ValueError(str(error)) from None


def read(node: Node, config: type[C]) -> C:
    """Build a settings dataclass from the node's parameters.

    Raises:
        ValueError: If a value is invalid. The message names the parameter.
    """
    names = (item.name for item in list_settings(config))
    return config(**{name: _from_ros(node.get_parameter(name).value) for name in names})


def with_parameters(config: C, parameters: Iterable[Parameter]) -> C:
    """Copy a settings dataclass and replace the settings that are among the parameters.

    Raises:
        ValueError: If a value is invalid. The message names the parameter.
    """
    names = {item.name for item in list_settings(type(config))}
    values = {parameter.name: _from_ros(parameter.value) for parameter in parameters if parameter.name in names}
    return dataclasses.replace(config, **values) if values else config  # type: ignore[type-var]


def parameter_default(item: Setting) -> Any:
    """Return the default of a setting as a parameter value.

    ROS has no type for an empty list, so [''] or [0] stands for it.
    """
    if not isinstance(item.default, tuple):
        return item.default
    return list(item.default) or ([0] if item.type == tuple[int, ...] else [""])


def _from_ros(value: Any) -> Any:
    if isinstance(value, (list, tuple, array.array)):
        return () if list(value) in ([""], [0]) else tuple(value)
    return value


def _descriptor(item: Setting) -> ParameterDescriptor:
    unit = f" [{item.unit}]" if item.unit else ""
    descriptor = ParameterDescriptor(description=item.description + unit, read_only=not item.dynamic)
    if item.choices:
        descriptor.additional_constraints = f"one of: {', '.join(item.choices)}"
    if item.minimum is None and item.maximum is None:
        return descriptor
    if item.type is int:
        low = int(-_MAX_INTEGER if item.minimum is None else item.minimum)
        high = int(_MAX_INTEGER if item.maximum is None else item.maximum)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    elif item.type is float:
        lowest, highest = (-sys.float_info.max, sys.float_info.max)
        minimum = lowest if item.minimum is None else float(item.minimum)
        maximum = highest if item.maximum is None or item.maximum == float("inf") else float(item.maximum)
        descriptor.floating_point_range = [FloatingPointRange(from_value=minimum, to_value=maximum)]
    return descriptor
