"""Names, types, descriptions and QoS of the node's topics and services."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

__all__ = [
    "CAMERA_INFO",
    "CLOUD",
    "CLOUD_PREFIX",
    "CONFIDENCE",
    "DEPTH",
    "DEPTH_COMPRESSED",
    "DEPTH_INFO",
    "DIAGNOSTICS",
    "ENABLE",
    "FRAME_QOS",
    "GET_LABELS",
    "IMAGE",
    "IMAGE_COMPRESSED",
    "INFO",
    "INPUTS",
    "LABELED_CLOUD",
    "LABEL_INFO",
    "LATCHED_QOS",
    "MAP_CLOUD",
    "MAP_FIND",
    "MAP_LOAD",
    "MAP_MARKERS",
    "MAP_RESET",
    "MAP_SAVE",
    "MASK",
    "MASK_COMPRESSED",
    "ODOMETRY",
    "OUTPUTS",
    "OVERLAY",
    "POINTS",
    "POSE",
    "QUERY",
    "SERVICES",
    "SET_LABELS",
    "SUMMARY",
    "VOCABULARY",
    "Topic",
    "check_cameras",
    "image_topic",
    "resolve_transport",
]

# Reliable and volatile: compatible with reliable and with best-effort subscribers.
FRAME_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=2,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
# Late joiners get the last message.
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


@dataclass(frozen=True)
class Topic:
    """A topic or a service.

    Attributes:
        name: Relative name, or private name with ``~/``.
        type: Message or service type.
        description: One line for the reference documentation.
        latched: Transient local: late joiners get the last message.
    """

    name: str
    type: str
    description: str
    latched: bool = False

    def for_camera(self, camera: str) -> Topic:
        """Add the name of a camera: ``front/rgb/image`` or ``~/front/mask``.

        "" stands for the only camera, whose topics have no prefix.
        """
        if not camera:
            return self
        private, name = ("~/", self.name[2:]) if self.name.startswith("~/") else ("", self.name)
        return dataclasses.replace(self, name=f"{private}{camera}/{name}")


IMAGE = Topic("rgb/image", "sensor_msgs/Image", "Color image in any encoding that a camera driver publishes")
IMAGE_COMPRESSED = Topic(
    "rgb/image/compressed",
    "sensor_msgs/CompressedImage",
    "Used instead of rgb/image if image_transport is compressed; a remapping of rgb/image moves it too",
)
INFO = Topic(
    "rgb/camera_info",
    "sensor_msgs/CameraInfo",
    "Valid for all images of its frame_id until the next one arrives; needed for clouds",
)
DEPTH = Topic(
    "depth/image",
    "sensor_msgs/Image",
    "Depth registered to the image: 16UC1 or mono16 in mm (0 = unknown), or 32FC1 in meters (NaN = unknown)",
)
DEPTH_COMPRESSED = Topic(
    "depth/image/compressedDepth",
    "sensor_msgs/CompressedImage",
    "Used instead of depth/image if depth_transport is compressedDepth: PNG or RVL; a remapping of depth/image moves "
    "it too",
)
DEPTH_INFO = Topic(
    "depth/camera_info", "sensor_msgs/CameraInfo", "The camera of depth, used only if register_depth is set"
)
CLOUD = Topic(
    "cloud",
    "sensor_msgs/PointCloud2",
    "Lidar points in any layout with x y z, one lidar for all cameras; only if points_source is cloud or both",
)
ODOMETRY = Topic("odom", "nav_msgs/Odometry", "Pose of the robot for the map; only with map and map_pose odometry")
POSE = Topic("pose", "geometry_msgs/PoseStamped", "Pose of the robot for the map; only with map and map_pose pose")
MASK = Topic("~/mask", "sensor_msgs/Image", "mono8, label id of each pixel; 0 = unlabeled, 255 is never used")
MASK_COMPRESSED = Topic(
    "~/mask/compressed", "sensor_msgs/CompressedImage", "The mask as PNG (lossless); only while subscribed"
)
CONFIDENCE = Topic("~/confidence", "sensor_msgs/Image", "mono8, softmax of the winning label x 255; 0 = unlabeled")
VOCABULARY = Topic(
    "~/vocabulary",
    "lseg_ros/Vocabulary",
    "Ids, names, synonyms, colors and epoch; published before the first mask of each epoch",
    latched=True,
)
LABEL_INFO = Topic(
    "~/label_info",
    "vision_msgs/LabelInfo",
    "Ids and names, published with ~/vocabulary if vision_msgs is installed",
    latched=True,
)
CAMERA_INFO = Topic(
    "~/camera_info", "sensor_msgs/CameraInfo", "The camera_info that belongs to the mask; only while subscribed"
)
OVERLAY = Topic("~/overlay", "sensor_msgs/Image", "rgb8, image with label colors and a legend; only while subscribed")
POINTS = Topic(
    "~/points",
    "sensor_msgs/PointCloud2",
    "Organized, one point per mask pixel: x y z rgb label confidence, NaN where invalid; only while subscribed",
)
CLOUD_PREFIX = POINTS.name + "/"
_CLOUDS = Topic(
    CLOUD_PREFIX + "<slug>",
    "sensor_msgs/PointCloud2",
    "The points of one label: x y z rgb; empty if the label is not in view; only while subscribed",
)
LABELED_CLOUD = Topic(
    "~/cloud",
    "sensor_msgs/PointCloud2",
    "The points of cloud in their order, frame and stamp: x y z rgb label confidence, label 0 where no camera sees "
    "them; only while subscribed",
)
SUMMARY = Topic(
    "~/summary",
    "lseg_ros/SegmentationSummary",
    "Pixels, confidence, nearest point and centroid of each label in view; only while subscribed",
)
DIAGNOSTICS = Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "Once per second: rates, latency, drops, advice")
MAP_CLOUD = Topic(
    "~/map/cloud",
    "sensor_msgs/PointCloud2",
    "The map: x y z rgb, by label or by map_color; with map and while subscribed",
)
MAP_MARKERS = Topic(
    "~/map/markers", "visualization_msgs/MarkerArray", "Places of the last ~/map/find; with map and visualization_msgs"
)
SET_LABELS = Topic("~/set_labels", "lseg_ros/SetLabels", "Replace or append labels")
GET_LABELS = Topic("~/get_labels", "lseg_ros/GetLabels", "Get the active vocabulary")
QUERY = Topic("~/query", "lseg_ros/QueryLabel", "Find a text in the last processed frame: pixel, score, 3D point")
ENABLE = Topic("~/enable", "std_srvs/SetBool", "Pause (false) or resume (true) processing")
MAP_FIND = Topic("~/map/find", "lseg_ros/MapFind", "Find a text in the language map; only with map")
MAP_SAVE = Topic("~/map/save", "lseg_ros/MapFile", "Save the language map to a file; only with map")
MAP_LOAD = Topic("~/map/load", "lseg_ros/MapFile", "Replace the language map by that of a file; only with map")
MAP_RESET = Topic("~/map/reset", "std_srvs/Trigger", "Empty the language map; only with map")

INPUTS = (
    IMAGE,
    IMAGE_COMPRESSED,
    INFO,
    DEPTH,
    DEPTH_COMPRESSED,
    DEPTH_INFO,
    CLOUD,
    ODOMETRY,
    POSE,
)  # subscribed as best effort, which matches every publisher
OUTPUTS = (
    MASK, MASK_COMPRESSED, CONFIDENCE, VOCABULARY, LABEL_INFO, CAMERA_INFO, OVERLAY, POINTS, _CLOUDS, LABELED_CLOUD,
    SUMMARY, MAP_CLOUD, MAP_MARKERS, DIAGNOSTICS,
)  # fmt: skip
SERVICES = (SET_LABELS, GET_LABELS, QUERY, ENABLE, MAP_FIND, MAP_SAVE, MAP_LOAD, MAP_RESET)
_RESERVED = {topic.name.split("/")[1] for topic in (*OUTPUTS, *SERVICES) if topic.name.startswith("~/")}


def image_topic(camera: str, transport: str) -> Topic:
    """Return the topic of a camera's images.

    Args:
        camera: Name of the camera, "" for the only one.
        transport: The parameter ``image_transport``, raw or compressed.
    """
    return (IMAGE_COMPRESSED if transport == "compressed" else IMAGE).for_camera(camera)


def resolve_transport(node: Node, name: str, transport: str) -> str:
    """Return the topic of a transport by the rule of image_transport.

    It is the base topic after remapping, with the transport appended: with ``rgb/image:=/camera/image_raw``, the topic
    ``rgb/image/compressed`` is ``/camera/image_raw/compressed``. A remapping of the transport's own name has priority.

    Args:
        node: The node with the remappings.
        name: Name of the base topic, before remapping.
        transport: Name of the transport, such as ``compressed``.
    """
    own = f"{name}/{transport}"
    if node.resolve_topic_name(own) != node.resolve_topic_name(own, only_expand=True):
        return own
    return f"{node.resolve_topic_name(name)}/{transport}"


def check_cameras(names: Sequence[str]) -> None:
    """Check that camera names are valid in topic names.

    Raises:
        ValueError: If a name is malformed, duplicated, or used by the node.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name):
            rule = "letters, digits and single underscores, starting with a letter"
            raise ValueError(f"cameras: expected names of {rule}, got {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"cameras: expected unique names, got {name!r} twice")
        if name in _RESERVED:
            raise ValueError(f"cameras: expected names that the node does not use, got {name!r} (~/{name})")
