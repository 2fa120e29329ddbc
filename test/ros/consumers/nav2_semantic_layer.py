"""Requirements of Nav2's semantic_segmentation_layer.

Read from kiwicampus, branches humble, jazzy and rolling, in 2026-11.
It pairs mask, confidence and organized cloud by stamp. It requests best effort (mask, confidence, cloud) or reliable
and transient local (LabelInfo) and compares the products of width and height. Then one counter runs over mask,
confidence and cloud: data[v * width + u] and the next point. A point is invalid if z is not finite. Ids are cast to
uint8. A name in LabelInfo that is missing in its parameters is logged as an error. Older versions crash if a pair
arrives before the first LabelInfo.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from test.ros.consumers import layout
from test.ros.consumers.received import Received
from test.support.ros_client import read_pixels


def violations(received: Received) -> Iterator[str]:
    """Yield what the semantic segmentation layer cannot use."""
    mask, points = received["mask"], received["points"]
    for topic in ("mask", "confidence"):
        yield from layout.check_stamp(topic, received[topic], points)
    unreadable = [
        *layout.check_image("mask", mask, "mono8"),
        *layout.check_image("confidence", received["confidence"], "mono8"),
        *layout.check_cloud("points", points),
    ]
    if (points.height, points.width) != (mask.height, mask.width):
        unreadable.append("points: size differs from the mask")
    if unreadable:
        yield from unreadable
        return
    yield from _check_ids(received)
    yield from _check_points(received)
    if "label_info" in received.messages:
        yield from _check_label_info(received)


def _check_ids(received: Received) -> Iterator[str]:
    mask = read_pixels(received["mask"])
    unknown = set(np.unique(mask).tolist()) - {0} - received.known_ids
    if unknown:
        yield f"mask: unknown ids {sorted(unknown)}"
    if (read_pixels(received["confidence"])[mask == 0] != 0).any():
        yield "confidence: not 0 for an unlabeled pixel"


def _check_points(received: Received) -> Iterator[str]:
    """Check that points lie within 0.75 px of their pixels, or are NaN in all of x, y and z."""
    x, y, z = (layout.read_field(received["points"], axis) for axis in "xyz")
    valid = np.isfinite(z)
    if (np.isfinite(x) != valid).any() or (np.isfinite(y) != valid).any():
        yield "points: NaN in one but not all of x, y and z"
        return
    if (z[valid] <= 0).any():
        yield "points: a point that is not in front of the camera"
        return
    k = received["camera_info"].k
    row, column = np.mgrid[: z.shape[0], : z.shape[1]]
    u, v = k[0] * x[valid] / z[valid] + k[2], k[4] * y[valid] / z[valid] + k[5]
    if np.hypot(u - column[valid], v - row[valid]).max(initial=0) > 0.75:
        yield "points: not at their pixels"


def _check_label_info(received: Received) -> Iterator[str]:
    yield from layout.check_qos("label_info", received.offered["label_info"], reliable=True, latched=True)
    classes = received["label_info"].class_map
    names = [vision_class.class_name for vision_class in classes]
    if len(set(names)) != len(names) or not all(names):
        yield "label_info: names are empty or not unique"
    if any(not 1 <= vision_class.class_id <= 254 for vision_class in classes):
        yield "label_info: an id outside 1 to 254"
