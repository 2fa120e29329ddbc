"""Requirements of elevation_mapping_cupy (branches main and ros2_py, read in 2026-11).

main reads every field of a cloud as a float32 at its offset. Each field after x, y and z becomes a layer of the map.
The bits of an integer would become a tiny float, so the clouds of labels must not contain integers. The color is read
as 0xRRGGBB. Points with a NaN in x, y or z are dropped. ros2_py requests best effort, converts the cloud to an array of
x, y and z, and ignores an empty cloud, but needs its fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sensor_msgs.msg import PointField

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    """Yield what elevation_mapping_cupy cannot use."""
    for topic, cloud in received.clouds.items():
        yield from layout.check_stamp(topic, cloud, received["rgb/image"])
        if unreadable := list(layout.check_cloud(topic, cloud)):
            yield from unreadable
        elif any(field.datatype != PointField.FLOAT32 for field in cloud.fields):
            yield f"{topic}: a field that is not a float"
        elif [field.name for field in cloud.fields][3:] != ["rgb"]:
            yield f"{topic}: layers other than the color"
        elif np.isnan(layout.read_field(cloud, "rgb")).any():
            yield f"{topic}: a color that is read as NaN"
