"""Requirements of Hydra (Hydra and Hydra-ROS, branch main, read in 2026-11).

Its closed-set camera input synchronizes color, depth and label image, converts the color to rgb8 with cv_bridge, takes
the label image as it is (one channel, integers) and requires equal sizes. Its cloud input knows the fields x, y, z
(floats), rgb or rgba (four bytes) and, as the label, "label" or "ring" (integers). The later of the two wins. An id
that is not below total_semantic_labels or not in the color table is logged as an error.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np
import yaml
from sensor_msgs.msg import PointField

from lseg_ros.cli.labels import LabelsSettings, color_table, label_space
from lseg_ros.ros.conversions import vocabulary_from_message
from test.ros.consumers import layout
from test.ros.consumers.received import Received
from test.support.ros_client import read_pixels

INTEGERS = {PointField.UINT8, PointField.UINT16, PointField.UINT32}


def violations(received: Received) -> Iterator[str]:
    """Yield what Hydra cannot use."""
    mask, points = received["mask"], received["points"]
    for topic in ("rgb/image", "depth/image"):
        yield from layout.check_stamp("mask", mask, received[topic])
        if (received[topic].height, received[topic].width) != (mask.height, mask.width):
            yield f"mask: size differs from {topic}"
    if unreadable := [*layout.check_image("mask", mask, "mono8"), *layout.check_cloud("points", points)]:
        yield from unreadable
        return
    types = {field.name: field.datatype for field in points.fields}
    if "ring" in types or types.get("label") not in INTEGERS:
        yield "points: label is missing or hidden by ring"
    elif (layout.read_field(points, "label").view("<u4") != read_pixels(mask)).any():
        yield "points: labels differ from the mask"
    yield from _check_label_space(received)


def _check_label_space(received: Received) -> Iterator[str]:
    """Check the label space and the color table that `lseg labels` makes from the vocabulary."""
    vocabulary = vocabulary_from_message(received["vocabulary"])
    settings = LabelsSettings(vocabulary.entries)
    total = yaml.safe_load(label_space(vocabulary, settings))["total_semantic_labels"]
    rows = list(csv.DictReader(io.StringIO(color_table(vocabulary, settings))))
    mask_ids = set(np.unique(read_pixels(received["mask"])).tolist())
    if max(mask_ids) >= total or not mask_ids <= {int(row["id"]) for row in rows}:
        yield "mask: an id that is not in the label space"
    if len({(row["red"], row["green"], row["blue"]) for row in rows}) < len(rows):
        yield "vocabulary: two labels have the same color"
