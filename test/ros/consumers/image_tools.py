"""rqt_image_view, image_view, image_saver and others that convert with cv_bridge (rolling, read in 2026-11).

cv_bridge refuses an image whose step is less than width * channels * depth or whose bytes are not step * height, and an
encoding that it does not know. image_proc and depth_image_proc pair an image with the camera_info of its stamp.
"""

from __future__ import annotations

from collections.abc import Iterator

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    for topic, encoding in (("mask", "mono8"), ("confidence", "mono8"), ("overlay", "rgb8")):
        yield from layout.image(topic, received[topic], encoding)
        yield from layout.quality(topic, received.offered[topic], reliable=True)
        yield from layout.stamps(topic, received[topic], received["camera_info"])
    info, mask = received["camera_info"], received["mask"]
    if (info.height, info.width) != (mask.height, mask.width):
        yield "camera_info: another size than the mask"
    if received.stamps["camera_info"] != received.stamps["mask"]:
        yield "camera_info: not one for each mask"
