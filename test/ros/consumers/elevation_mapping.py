"""elevation_mapping_cupy (branches main and ros2_py, read in 2026-11).

main reads every field of a cloud as a float32 at its offset and makes each one behind x, y and z a layer of its map:
bits of a whole number become a tiny float, so a label's cloud must have none. The color is taken apart as 0xRRGGBB.
Points with a NaN in x, y or z are dropped. ros2_py asks for best effort, turns the cloud into an array of x, y and z,
and ignores an empty one, whose fields it needs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sensor_msgs.msg import PointField

from test.ros.consumers import layout
from test.ros.consumers.received import Received


def violations(received: Received) -> Iterator[str]:
    for topic, cloud in received.clouds.items():
        yield from layout.stamps(topic, cloud, received["rgb/image"])
        if unreadable := list(layout.cloud(topic, cloud)):
            yield from unreadable
        elif any(field.datatype != PointField.FLOAT32 for field in cloud.fields):
            yield f"{topic}: a field that is no float"
        elif [field.name for field in cloud.fields][3:] != ["rgb"]:
            yield f"{topic}: other layers than the color"
        elif np.isnan(layout.values(cloud, "rgb")).any():
            yield f"{topic}: a color that reads as NaN"
