"""Summary -> lseg_ros/SegmentationSummary."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import Point
from std_msgs.msg import Header

from lseg_ros.msg import LabelSummary as LabelSummaryMessage
from lseg_ros.msg import SegmentationSummary
from lseg_ros.pipeline import LabelSummary, Summary

__all__ = ["point_message", "summary_message"]


def summary_message(summary: Summary, epoch: int, header: Header) -> SegmentationSummary:
    """A summary as a message. epoch: of its vocabulary. header: of the image."""
    return SegmentationSummary(
        header=header,
        epoch=epoch,
        unlabeled_share=summary.unlabeled_share,
        has_depth=summary.has_depth,
        labels=[_label_message(each) for each in summary.labels],
    )


def _label_message(each: LabelSummary) -> LabelSummaryMessage:
    return LabelSummaryMessage(
        id=each.label.id,
        name=each.label.name,
        pixels=each.pixels,
        share=each.share,
        confidence=each.confidence,
        points=each.points,
        has_distance=each.points > 0,
        distance=each.distance_m,
        nearest=point_message(each.nearest),
        centroid=point_message(each.centroid),
    )


def point_message(xyz: Iterable[float]) -> Point:
    """x, y and z in metres as a message; NaN where there is no point."""
    x, y, z = (float(each) for each in xyz)
    return Point(x=x, y=y, z=z)
