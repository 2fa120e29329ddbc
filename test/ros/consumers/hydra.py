"""Hydra (Hydra and Hydra-ROS, branch main, read in 2026-11).

Its closed-set camera input synchronizes color, depth and label image, makes the color rgb8 with cv_bridge, takes the
label image as it is (one channel, whole numbers) and wants all of one size. Its cloud input knows the fields x, y, z
(floats), rgb or rgba (four bytes) and, as the label, "label" or "ring" (whole numbers): the later of the two wins. An
id at or above total_semantic_labels, or one that its color table lacks, is an error in its log.
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

WHOLE = {PointField.UINT8, PointField.UINT16, PointField.UINT32}


def violations(received: Received) -> Iterator[str]:
    mask, points = received["mask"], received["points"]
    for topic in ("rgb/image", "depth/image"):
        yield from layout.stamps("mask", mask, received[topic])
        if (received[topic].height, received[topic].width) != (mask.height, mask.width):
            yield f"mask: another size than {topic}"
    if unreadable := [*layout.image("mask", mask, "mono8"), *layout.cloud("points", points)]:
        yield from unreadable
        return
    types = {field.name: field.datatype for field in points.fields}
    if "ring" in types or types.get("label") not in WHOLE:
        yield "points: no label, or one that a ring hides"
    elif (layout.values(points, "label").view("<u4") != read_pixels(mask)).any():
        yield "points: other labels than in the mask"
    yield from _label_space(received)


def _label_space(received: Received) -> Iterator[str]:
    """Objections to the label space and colors that `lseg labels` makes of the vocabulary."""
    vocabulary = vocabulary_from_message(received["vocabulary"])
    settings = LabelsSettings(vocabulary.entries)
    total = yaml.safe_load(label_space(vocabulary, settings))["total_semantic_labels"]
    rows = list(csv.DictReader(io.StringIO(color_table(vocabulary, settings))))
    seen = set(np.unique(read_pixels(received["mask"])).tolist())
    if max(seen) >= total or not seen <= {int(each["id"]) for each in rows}:
        yield "mask: an id that the label space lacks"
    if len({(each["red"], each["green"], each["blue"]) for each in rows}) < len(rows):
        yield "vocabulary: two labels of one color"
