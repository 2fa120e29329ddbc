"""Messages <-> the structures of the house: frames, vocabularies, summaries and camera calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header

from lseg_ros.cdr import image_to_cdr
from lseg_ros.geometry import sample_depth
from lseg_ros.messages import compressed_to_rgb, depth_to_meters, image_to_rgb, intrinsics_from_camera_info, stamp_ns
from lseg_ros.msg import Label as LabelMessage
from lseg_ros.msg import LabelSummary as LabelSummaryMessage
from lseg_ros.msg import SegmentationSummary
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.topics import DEPTH, INFO, Topic
from lseg_ros.structures import Frame, Intrinsics
from lseg_ros.summary import LabelSummary, Summary
from lseg_ros.vocabulary import Label, Vocabulary

__all__ = [
    "Assembled",
    "assemble",
    "camera_info_of",
    "make_header",
    "point_to_message",
    "publish_image",
    "summary_to_message",
    "vocabulary_from_message",
    "vocabulary_to_message",
    "with_depth",
]


class Assembled(NamedTuple):
    """frame: without depth or intrinsics where those could not be used. problems: why, a sentence by input."""

    frame: Frame
    problems: dict[Topic, str]


def assemble(image: Any, depth: Any | None, camera_info: Any | None) -> Assembled:
    """An Image or CompressedImage with its depth Image and CameraInfo, or None for those that are missing.

    Raises ValueError where the image itself cannot be read; an unusable depth or CameraInfo only costs the clouds.
    """
    rgb = image_to_rgb(image) if hasattr(image, "encoding") else compressed_to_rgb(image)
    frame = Frame(rgb, stamp_ns=stamp_ns(image.header), frame_id=image.header.frame_id)
    problems: dict[Topic, str] = {}
    if camera_info is not None:
        try:
            frame = _with_intrinsics(frame, camera_info)
        except ValueError as error:
            problems[INFO] = str(error)
    if depth is not None:
        try:
            frame = with_depth(frame, depth)
        except ValueError as error:
            problems[DEPTH] = str(error)
    return Assembled(frame, problems)


def _with_intrinsics(frame: Frame, camera_info: Any) -> Frame:
    intrinsics = intrinsics_from_camera_info(camera_info)
    if intrinsics is None:
        raise ValueError("no clouds: the camera_info is of an uncalibrated camera (K[0] = 0)")
    return dataclasses.replace(frame, intrinsics=intrinsics)


def with_depth(frame: Frame, depth: Any) -> Frame:
    """A frame and the depth Image that belongs to it. Raises ValueError where that cannot be used."""
    if depth.header.frame_id != frame.frame_id:
        raise ValueError(
            f"no clouds: depth has to be registered to the image, expected its frame_id {frame.frame_id!r}, "
            f"got {depth.header.frame_id!r}"
        )
    return dataclasses.replace(frame, depth_m=sample_depth(depth_to_meters(depth), frame.size))


def vocabulary_to_message(vocabulary: Vocabulary, model: str, stamp: Time) -> VocabularyMessage:
    """A vocabulary as lseg_ros/Vocabulary. model: name of the preset or checkpoint."""
    message = VocabularyMessage(
        epoch=vocabulary.epoch,
        labels=[_label_to_message(each) for each in vocabulary.labels],
        retired=[_label_to_message(each) for each in vocabulary.retired],
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
    """The vocabulary that a lseg_ros/Vocabulary tells of."""
    labels, retired = (tuple(_label_from_message(each) for each in some) for some in (message.labels, message.retired))
    return Vocabulary(labels, tuple(message.prompt_templates), message.epoch, retired)


def _label_from_message(message: LabelMessage) -> Label:
    red, green, blue = (round(channel * 255) for channel in (message.color.r, message.color.g, message.color.b))
    return Label(message.id, tuple(message.synonyms), (red, green, blue), message.slug)


def summary_to_message(summary: Summary, epoch: int, header: Header) -> SegmentationSummary:
    """A summary as a message. epoch: of its vocabulary. header: of the image."""
    return SegmentationSummary(
        header=header,
        epoch=epoch,
        unlabeled_share=summary.unlabeled_share,
        has_depth=summary.has_depth,
        labels=[_label_summary_message(each) for each in summary.labels],
    )


def _label_summary_message(each: LabelSummary) -> LabelSummaryMessage:
    return LabelSummaryMessage(
        id=each.label.id,
        name=each.label.name,
        pixels=each.pixels,
        share=each.share,
        confidence=each.confidence,
        points=each.points,
        has_distance=each.points > 0,
        distance=each.distance_m,
        nearest=point_to_message(each.nearest),
        centroid=point_to_message(each.centroid),
    )


def point_to_message(xyz: Iterable[float]) -> Point:
    """x, y and z in meters as a message; NaN where there is no point."""
    x, y, z = (float(each) for each in xyz)
    return Point(x=x, y=y, z=z)


def make_header(stamp_ns: int, frame_id: str) -> Header:
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return header


def publish_image(publisher: Publisher, header: Header, pixels: NDArray[np.uint8], encoding: str) -> None:
    """Publish (H, W) mono8 or (H, W, 3) rgb8."""
    publisher.publish(image_to_cdr(header, pixels, encoding))


def camera_info_of(intrinsics: Intrinsics, model: str = "plumb_bob", distortion: tuple[float, ...] = ()) -> CameraInfo:
    """A sensor_msgs/CameraInfo of a pinhole; distortion: coefficients of ``model``, or none."""
    each = intrinsics
    return CameraInfo(
        width=each.width,
        height=each.height,
        distortion_model=model,
        d=list(distortion) or [0.0] * 5,
        k=[each.fx, 0.0, each.cx, 0.0, each.fy, each.cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[each.fx, 0.0, each.cx, 0.0, 0.0, each.fy, each.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
