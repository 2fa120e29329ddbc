"""Requirements of image tools that use cv_bridge, such as rqt_image_view.

Read from the rolling branches in 2026-11.
cv_bridge rejects an image with an unknown encoding, with a step below width * channels * depth, or whose data are not
step * height bytes. image_proc and depth_image_proc pair an image with the camera_info of the same stamp.
"""

from __future__ import annotations

from collections.abc import Iterator

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    """Yield what image tools cannot use."""
    for topic, encoding in (("mask", "mono8"), ("confidence", "mono8"), ("overlay", "rgb8")):
        yield from layout.check_image(topic, received[topic], encoding)
        yield from layout.check_qos(topic, received.offered[topic], reliable=True)
        yield from layout.check_stamp(topic, received[topic], received["camera_info"])
    info, mask = received["camera_info"], received["mask"]
    if (info.height, info.width) != (mask.height, mask.width):
        yield "camera_info: size differs from the mask"
    if received.stamps["camera_info"] != received.stamps["mask"]:
        yield "camera_info: not one for each mask"
