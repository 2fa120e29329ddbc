"""Requirements of Nav2's obstacle and voxel layers.

Read from nav2_costmap_2d, branches jazzy and main, in 2026-11.
The subscriber requests best effort. A cloud is transformed by tf at its stamp and then read byte by byte: z is read at
the offset of its field, and points follow each other at point_step from the first byte to the last, regardless of width
and row_step. A missing field throws an exception, even in an empty cloud. A z that is NaN is neither above nor below a
limit; x and y are not checked for NaN. The last cloud of each source is marked repeatedly until a newer one arrives.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    """Yield what the obstacle and voxel layers cannot use."""
    for topic, cloud in {**received.clouds, "points": received["points"]}.items():
        yield from layout.check_stamp(topic, cloud, received["rgb/image"])
        unreadable = list(layout.check_cloud(topic, cloud))
        yield from unreadable
        if topic in received.clouds and not unreadable:
            if not all(np.isfinite(layout.read_field(cloud, axis)).all() for axis in "xyz"):
                yield f"{topic}: a point that is not finite"
            if received.stamps[topic] != received.stamps["mask"]:
                yield f"{topic}: not one cloud for each frame"
