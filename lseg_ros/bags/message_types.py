"""Message types of results: those of ROS 2, of this package, and LabelInfo of vision_msgs."""

from __future__ import annotations

import functools
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

__all__ = ["result_types"]

# A wheel does not contain msg/, so the definitions are repeated. A test compares them.
_DEFINITIONS = {
    "lseg_ros/msg/Label": "uint8 id\nstring name\nstring[] synonyms\nstring slug\nstd_msgs/ColorRGBA color\n",
    "lseg_ros/msg/Vocabulary": (
        "std_msgs/Header header\nuint32 epoch\nLabel[] labels\nLabel[] retired\nstring[] prompt_templates\n"
        "string model\n"
    ),
    "lseg_ros/msg/LabelSummary": (
        "uint8 id\nstring name\nuint32 pixels\nfloat32 share\nfloat32 confidence\nuint32 points\nbool has_distance\n"
        "float32 distance\ngeometry_msgs/Point nearest\ngeometry_msgs/Point centroid\n"
    ),
    "lseg_ros/msg/SegmentationSummary": (
        "std_msgs/Header header\nuint32 epoch\nfloat32 unlabeled_share\nbool has_depth\nLabelSummary[] labels\n"
    ),
    # vision_msgs 4
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    "vision_msgs/msg/LabelInfo": "std_msgs/Header header\nVisionClass[] class_map\nfloat32 threshold\n",
}


@functools.cache
def result_types() -> Any:
    """Return the rosbags type store of the types. Callers do not change it."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    fields: dict[str, Any] = {}
    for name, text in _DEFINITIONS.items():
        fields.update(get_types_from_msg(text, name))
    store.register(fields)
    return store
