"""The spatio-temporal voxel layer (STVL; branch ros2, read in 2026-11).

It filters clouds by PCL: PassThrough or VoxelGrid on z, with x, y and z found by name and read as floats, NaN dropped.
PCL takes width * height points of point_step bytes to be there, and leaves out fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    for topic, cloud in received.clouds.items():
        yield from layout.stamps(topic, cloud, received["rgb/image"])
        if unreadable := list(layout.cloud(topic, cloud)):
            yield from unreadable
        elif cloud.height != 1:
            yield f"{topic}: organized"
        elif cloud.is_dense and len(cloud.data) and not np.isfinite(layout.values(cloud, "z")).all():
            yield f"{topic}: said to be dense, but has a NaN"
