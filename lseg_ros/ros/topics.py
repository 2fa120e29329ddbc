"""The node's topics and services, as the README lists them and as the node opens them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "CAMERA_INFO",
    "CLOUD_PREFIX",
    "CONFIDENCE",
    "DEPTH",
    "DIAGNOSTICS",
    "ENABLE",
    "GET_LABELS",
    "IMAGE",
    "IMAGE_COMPRESSED",
    "INFO",
    "INPUTS",
    "LABEL_INFO",
    "MASK",
    "MASK_COMPRESSED",
    "OUTPUTS",
    "OVERLAY",
    "POINTS",
    "QUERY",
    "SERVICES",
    "SET_LABELS",
    "SUMMARY",
    "VOCABULARY",
    "Topic",
    "check_cameras",
]


@dataclass(frozen=True)
class Topic:
    """A topic or a service: name (relative, or private with ``~/``), type, and what its users need to know."""

    name: str
    type: str
    description: str
    latched: bool = False  # transient local: who comes late gets the last message

    def of(self, camera: str) -> Topic:
        """The topic of one of several cameras, ``front/rgb/image`` or ``~/front/mask``; itself for the only one, ""."""
        if not camera:
            return self
        private, name = ("~/", self.name[2:]) if self.name.startswith("~/") else ("", self.name)
        return dataclasses.replace(self, name=f"{private}{camera}/{name}")


IMAGE = Topic("rgb/image", "sensor_msgs/Image", "What the camera sees, in any encoding a camera driver emits")
IMAGE_COMPRESSED = Topic(
    "rgb/image/compressed", "sensor_msgs/CompressedImage", "Instead of rgb/image where image_transport is compressed"
)
INFO = Topic("rgb/camera_info", "sensor_msgs/CameraInfo", "Read with every frame; K[0] = 0 switches the clouds off")
DEPTH = Topic(
    "depth/image",
    "sensor_msgs/Image",
    "Depth registered to the image: 16UC1 in millimeters (0 = unknown) or 32FC1 in meters (NaN = unknown)",
)
MASK = Topic("~/mask", "sensor_msgs/Image", "mono8, the id of each pixel's label; 0 = unlabeled, 255 never")
MASK_COMPRESSED = Topic(
    "~/mask/compressed", "sensor_msgs/CompressedImage", "The mask as PNG, which loses nothing; only while subscribed"
)
CONFIDENCE = Topic("~/confidence", "sensor_msgs/Image", "mono8, softmax of the winning label x 255; 0 = unlabeled")
VOCABULARY = Topic(
    "~/vocabulary", "lseg_ros/Vocabulary", "Ids, names, synonyms, colors, epoch; before the first mask of each", True
)
LABEL_INFO = Topic(
    "~/label_info", "vision_msgs/LabelInfo", "Ids and names, where vision_msgs is installed; like ~/vocabulary", True
)
CAMERA_INFO = Topic(
    "~/camera_info", "sensor_msgs/CameraInfo", "The camera_info that belongs to the mask; only while subscribed"
)
OVERLAY = Topic("~/overlay", "sensor_msgs/Image", "rgb8, colors over the image and a legend; only while subscribed")
POINTS = Topic(
    "~/points",
    "sensor_msgs/PointCloud2",
    "Organized, a point for each mask pixel: x y z rgb label confidence, NaN where invalid; only while subscribed",
)
CLOUD_PREFIX = POINTS.name + "/"
_CLOUDS = Topic(
    CLOUD_PREFIX + "<slug>",
    "sensor_msgs/PointCloud2",
    "The points of one label: x y z rgb; empty in frames without it; only while subscribed",
)
SUMMARY = Topic(
    "~/summary",
    "lseg_ros/SegmentationSummary",
    "Of each label in view: pixels, confidence, nearest point and centroid; only while subscribed",
)
DIAGNOSTICS = Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "Once a second: rates, latency, drops, advice")
SET_LABELS = Topic("~/set_labels", "lseg_ros/SetLabels", "Replace the labels or append to them")
GET_LABELS = Topic("~/get_labels", "lseg_ros/GetLabels", "The vocabulary that is live")
QUERY = Topic(
    "~/query", "lseg_ros/QueryLabel", "Where in the last processed frame something is: pixel, score, 3D point"
)
ENABLE = Topic("~/enable", "std_srvs/SetBool", "Pause processing (false) and resume it (true)")

INPUTS = (IMAGE, IMAGE_COMPRESSED, INFO, DEPTH)  # best effort, keep last: match best-effort and reliable cameras alike
OUTPUTS = (
    MASK, MASK_COMPRESSED, CONFIDENCE, VOCABULARY, LABEL_INFO, CAMERA_INFO, OVERLAY, POINTS, _CLOUDS, SUMMARY,
    DIAGNOSTICS,
)  # fmt: skip
SERVICES = (SET_LABELS, GET_LABELS, QUERY, ENABLE)
_TAKEN = {each.name.split("/")[1] for each in (*OUTPUTS, *SERVICES) if each.name.startswith("~/")}


def check_cameras(names: Sequence[str]) -> None:
    """Raise ValueError where the names of several cameras cannot stand in the names of their topics."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name):
            rule = "letters, digits and single _ between them, a letter first"
            raise ValueError(f"cameras: expected names of {rule}, got {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"cameras: expected every name once, got {name!r} twice")
        if name in _TAKEN:
            raise ValueError(f"cameras: expected names that the node's own topics leave free, got {name!r} (~/{name})")
