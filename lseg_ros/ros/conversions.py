"""Conversion between ROS messages and vocabularies, summaries and intrinsics."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header

from lseg_ros.cdr import image_to_cdr
from lseg_ros.msg import Label as LabelMessage
from lseg_ros.msg import LabelSummary as LabelSummaryMessage
from lseg_ros.msg import SegmentationSummary
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.structures import Intrinsics
from lseg_ros.summary import LabelSummary, Summary
from lseg_ros.vocabulary import Label, Vocabulary

__all__ = [
    "camera_info_from_intrinsics",
    "make_header",
    "point_to_message",
    "publish_image",
    "summary_to_message",
    "vocabulary_from_message",
    "vocabulary_to_message",
]


def vocabulary_to_message(vocabulary: Vocabulary, model: str, stamp: Time) -> VocabularyMessage:
    """Convert a vocabulary to lseg_ros/Vocabulary.

    Args:
        vocabulary: The vocabulary.
        model: Name of the preset or checkpoint.
        stamp: Stamp of the message.
    """
    message = VocabularyMessage(
        epoch=vocabulary.epoch,
        labels=[_label_to_message(label) for label in vocabulary.labels],
        retired=[_label_to_message(label) for label in vocabulary.retired],
        prompt_templates=list(vocabulary.prompt_templates),
        model=model,
    )
    message.header.stamp = stamp
    return message


def _label_to_message(label: Label) -> LabelMessage:
    red, green, blue = (channel / 255 for channel in label.color)
    color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return LabelMessage(id=label.id, name=label.name, synonyms=list(label.synonyms), slug=label.slug, color=color)


def vocabulary_from_message(message: VocabularyMessage) -> Vocabulary:
    """Convert lseg_ros/Vocabulary to a vocabulary."""
    labels = tuple(_label_from_message(label) for label in message.labels)
    retired = tuple(_label_from_message(label) for label in message.retired)
    return Vocabulary(labels, tuple(message.prompt_templates), message.epoch, retired)


def _label_from_message(message: LabelMessage) -> Label:
    red, green, blue = (round(channel * 255) for channel in (message.color.r, message.color.g, message.color.b))
    return Label(message.id, tuple(message.synonyms), (red, green, blue), message.slug)


def summary_to_message(summary: Summary, epoch: int, header: Header) -> SegmentationSummary:
    """Convert a summary to lseg_ros/SegmentationSummary.

    Args:
        summary: The summary of a frame.
        epoch: Epoch of the vocabulary.
        header: Header of the image.
    """
    return SegmentationSummary(
        header=header,
        epoch=epoch,
        unlabeled_share=summary.unlabeled_share,
        has_depth=summary.has_depth,
        labels=[_label_summary_to_message(label_summary) for label_summary in summary.labels],
    )


def _label_summary_to_message(summary: LabelSummary) -> LabelSummaryMessage:
    return LabelSummaryMessage(
        id=summary.label.id,
        name=summary.label.name,
        pixels=summary.pixels,
        share=summary.share,
        confidence=summary.confidence,
        points=summary.points,
        has_distance=summary.points > 0,
        distance=summary.distance_m,
        nearest=point_to_message(summary.nearest),
        centroid=point_to_message(summary.centroid),
    )


def point_to_message(xyz: Iterable[float]) -> Point:
    """Convert x, y and z in meters to geometry_msgs/Point. NaN stands for a missing point."""
    x, y, z = (float(coordinate) for coordinate in xyz)
    return Point(x=x, y=y, z=z)


def make_header(stamp_ns: int, frame_id: str) -> Header:
    """Build a std_msgs/Header from a stamp in nanoseconds and a coordinate frame."""
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return header


def publish_image(publisher: Publisher, header: Header, pixels: NDArray[np.uint8], encoding: str) -> None:
    """Publish pixels as sensor_msgs/Image.

    Args:
        publisher: Publisher of sensor_msgs/Image.
        header: Header of the message.
        pixels: (H, W) uint8 for mono8 or (H, W, 3) uint8 for rgb8.
        encoding: mono8 or rgb8.
    """
    publisher.publish(image_to_cdr(header, pixels, encoding))


def camera_info_from_intrinsics(
    intrinsics: Intrinsics, model: str = "plumb_bob", distortion: tuple[float, ...] = ()
) -> CameraInfo:
    """Build the sensor_msgs/CameraInfo of a pinhole camera.

    Args:
        intrinsics: Focal lengths and principal point in pixels.
        model: Name of the distortion model.
        distortion: Coefficients of the distortion model. Empty for no distortion.
    """
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    return CameraInfo(
        width=intrinsics.width,
        height=intrinsics.height,
        distortion_model=model,
        d=list(distortion) or [0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
