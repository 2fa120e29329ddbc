"""A synthetic RGB-D world with exact labels, depth, instances and colors.

See docs/embedded-network.md.
"""

from lseg_ros.synthetic.classes import CLASSES, COLORS
from lseg_ros.synthetic.lidar import LIDAR_IN_CAMERA, Lidar
from lseg_ros.synthetic.world import SyntheticCloud, SyntheticFrame, SyntheticWorld

__all__ = ["CLASSES", "COLORS", "LIDAR_IN_CAMERA", "Lidar", "SyntheticCloud", "SyntheticFrame", "SyntheticWorld"]
