"""RViz (rviz_default_plugins, rolling, read in 2026-11), and whoever reads clouds as it does: Foxglove, PCL.

A cloud is dropped where it has no x, y and z, or where its bytes are not width * height * point_step; NaN are left out.
RGB8 takes a field rgb of four bytes; the color by label takes any field called label. PCL's and others' readers drop
points whose color is a NaN, which one with its alpha byte set is. A field "intensity" makes a cloud a laser's. The
camera's image and the overlay are drawn as they are; a mask of small ids is black, hence the overlay.
"""

from __future__ import annotations

from collections.abc import Iterator

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    yield from layout.image("overlay", received["overlay"], "rgb8")
    yield from layout.stamps("overlay", received["overlay"], received["rgb/image"])
    for topic, cloud in {**received.clouds, "points": received["points"]}.items():
        yield from layout.quality(topic, received.offered[topic], reliable=True)  # as rviz/*.rviz ask for
        names = [field.name for field in cloud.fields]
        if "intensity" in names:
            yield f"{topic}: an intensity"
        if unreadable := list(layout.cloud(topic, cloud)):
            yield from unreadable
        elif "rgb" not in names:
            yield f"{topic}: no color"
        elif (layout.values(cloud, "rgb").view("<u4") >> 24).any():
            yield f"{topic}: alpha bits in its color"
    if "label" not in [field.name for field in received["points"].fields]:
        yield "points: no label to color by"
