"""A synthetic RGB-D world with exact labels, depth, instances and colors.

See docs/synthetic-world.md.
"""

from lseg_ros.synthetic.classes import CLASSES, COLORS
from lseg_ros.synthetic.world import SyntheticFrame, SyntheticWorld

__all__ = ["CLASSES", "COLORS", "SyntheticFrame", "SyntheticWorld"]
