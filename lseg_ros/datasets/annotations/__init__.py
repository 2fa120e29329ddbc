"""Annotations in the formats that annotation tools export.

docs/datasets.md lists the formats, how they are detected, and the rules for labels, overlaps and splits.
"""

from lseg_ros.datasets.annotations.formats import open_annotations

__all__ = ["open_annotations"]
