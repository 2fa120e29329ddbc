"""Sets of labelled images for training and evaluation.

A data set has ``classes``, the words of its labels, and gives by index a ``Sample``.
"""

from lseg_ros.datasets.sample import IGNORE, LabeledImages, Sample
from lseg_ros.datasets.synthetic import SyntheticScenes

__all__ = ["IGNORE", "LabeledImages", "Sample", "SyntheticScenes"]
