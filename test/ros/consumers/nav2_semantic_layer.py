"""Nav2's semantic_segmentation_layer (kiwicampus; its branches humble, jazzy and rolling, read in 2026-11).

It pairs mask, confidence and organized cloud by stamp, asks for best effort (mask, confidence, cloud) and for reliable
and transient local (LabelInfo), compares the products of width and height, and then walks over mask, confidence and
cloud with one counter: data[v * width + u], and one point further. A point is invalid where z is not finite. Ids are
cast to uint8. A name that LabelInfo has and its parameters lack is an error in its log. Older versions crash where a
pair comes before the first LabelInfo.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from test.ros.consumers import layout
from test.ros.consumers.received import Received
from test.support.ros_client import read_pixels


def violations(received: Received) -> Iterator[str]:
    mask, points = received["mask"], received["points"]
    for topic in ("mask", "confidence"):
        yield from layout.stamps(topic, received[topic], points)
    unreadable = [
        *layout.image("mask", mask, "mono8"),
        *layout.image("confidence", received["confidence"], "mono8"),
        *layout.cloud("points", points),
    ]
    if (points.height, points.width) != (mask.height, mask.width):
        unreadable.append("points: another size than the mask")
    if unreadable:
        yield from unreadable
        return
    yield from _ids(received)
    yield from _points(received)
    for topic in ("label_info",) if "label_info" in received.messages else ():
        yield from layout.quality(topic, received.offered[topic], reliable=True, latched=True)
        names = [each.class_name for each in received[topic].class_map]
        if len(set(names)) != len(names) or not all(names):
            yield "label_info: names that are not one each"
        if any(not 1 <= each.class_id <= 254 for each in received[topic].class_map):
            yield "label_info: an id that is no label's"


def _ids(received: Received) -> Iterator[str]:
    mask = read_pixels(received["mask"])
    unknown = set(np.unique(mask).tolist()) - {0} - received.known_ids
    if unknown:
        yield f"mask: unknown ids {sorted(unknown)}"
    if (read_pixels(received["confidence"])[mask == 0] != 0).any():
        yield "confidence: sure of what has no label"


def _points(received: Received) -> Iterator[str]:
    """Objections to points that are not those of their pixels: within 0.75 px, NaN in all three where not known."""
    x, y, z = (layout.values(received["points"], axis) for axis in "xyz")
    known = np.isfinite(z)
    if (np.isfinite(x) != known).any() or (np.isfinite(y) != known).any():
        yield "points: NaN in one and not in all of x, y and z"
        return
    if (z[known] <= 0).any():
        yield "points: a point that is not in front of the camera"
        return
    k, (row, column) = received["camera_info"].k, np.indices(z.shape)
    u, v = k[0] * x[known] / z[known] + k[2], k[4] * y[known] / z[known] + k[5]
    if np.hypot(u - column[known], v - row[known]).max(initial=0) > 0.75:
        yield "points: not at their pixels"
