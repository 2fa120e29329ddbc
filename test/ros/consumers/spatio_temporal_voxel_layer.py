"""Requirements of the spatio-temporal voxel layer (STVL, branch ros2, read in 2026-11).

It filters clouds with PCL: PassThrough or VoxelGrid on z. PCL finds x, y and z by name, reads them as floats and drops
NaN. It assumes that there are width * height points of point_step bytes, and ignores unknown fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    """Yield what the spatio-temporal voxel layer cannot use."""
    for topic, cloud in received.clouds.items():
        yield from layout.check_stamp(topic, cloud, received["rgb/image"])
        if unreadable := list(layout.check_cloud(topic, cloud)):
            yield from unreadable
        elif cloud.height != 1:
            yield f"{topic}: organized"
        elif cloud.is_dense and len(cloud.data) and not np.isfinite(layout.read_field(cloud, "z")).all():
            yield f"{topic}: is_dense but has a NaN"
