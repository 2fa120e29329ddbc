"""Nav2's obstacle and voxel layers (nav2_costmap_2d; jazzy and main, read in 2026-11).

A subscriber asks for best effort. A cloud goes through tf at its stamp, and then byte by byte: z is read at its
field's offset, points follow each other at point_step from the first byte to the last, whatever width and row_step
say. A missing field throws, in an empty cloud too; a z that is NaN is above and below no limit, an x or y that is NaN
is not asked for. The last cloud of each source is marked again and again until a newer one comes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    for topic, cloud in {**received.clouds, "points": received["points"]}.items():
        yield from layout.stamps(topic, cloud, received["rgb/image"])
        unreadable = list(layout.cloud(topic, cloud))
        yield from unreadable
        if topic in received.clouds and not unreadable:
            if not all(np.isfinite(layout.values(cloud, axis)).all() for axis in "xyz"):
                yield f"{topic}: a point that is not finite"
            if received.stamps[topic] != received.stamps["mask"]:
                yield f"{topic}: not one cloud for each frame"
