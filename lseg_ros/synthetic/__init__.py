"""A synthetic RGB-D world with exact labels, depth, instances and colors.

See docs/embedded-network.md.
"""

from lseg_ros.synthetic.classes import CLASSES, COLORS
from lseg_ros.synthetic.world import SyntheticFrame, SyntheticWorld

__all__ = ["CLASSES", "COLORS", "SyntheticFrame", "SyntheticWorld"]
