"""Requirements of RViz and of similar readers, such as Foxglove and PCL.

Read from rviz_default_plugins, rolling, in 2026-11.
RViz drops a cloud without x, y and z, or whose data are not width * height * point_step bytes. It omits points with
NaN. RGB8 uses a four-byte field rgb; coloring by label uses any field named label. PCL and other readers drop points
whose color is a NaN, which happens if the alpha byte is set. A field "intensity" would mark the cloud of a laser. The
camera's image and the overlay are drawn unchanged. A mask with small ids looks black, which is why there is an overlay.
"""

from __future__ import annotations

from collections.abc import Iterator

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    """Yield what RViz cannot use."""
    yield from layout.check_image("overlay", received["overlay"], "rgb8")
    yield from layout.check_stamp("overlay", received["overlay"], received["rgb/image"])
    for topic, cloud in {**received.clouds, "points": received["points"]}.items():
        yield from layout.check_qos(topic, received.offered[topic], reliable=True)  # as rviz/*.rviz request
        names = [field.name for field in cloud.fields]
        if "intensity" in names:
            yield f"{topic}: an intensity"
        if unreadable := list(layout.check_cloud(topic, cloud)):
            yield from unreadable
        elif "rgb" not in names:
            yield f"{topic}: no color"
        elif (layout.read_field(cloud, "rgb").view("<u4") >> 24).any():
            yield f"{topic}: alpha bits in the color"
    if "label" not in [field.name for field in received["points"].fields]:
        yield "points: no label for coloring"
