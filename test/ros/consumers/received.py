"""The messages that a consumer receives from the node."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lseg_ros.msg import Vocabulary
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from test.support.ros_client import LATCHED, LSEG, RosClient, wait_until

try:
    from vision_msgs.msg import LabelInfo
except ImportError:
    LabelInfo = None

CAMERA = {"rgb/image": Image, "depth/image": Image}
OUTPUTS = {
    "mask": Image,
    "confidence": Image,
    "overlay": Image,
    "camera_info": CameraInfo,
    "points": PointCloud2,
}
CLOUD_PREFIX = "points/"
FRAMES = 3


@dataclass(frozen=True)
class Received:
    """Everything received during a few frames.

    Attributes:
        messages: Messages of one frame by topic, without the name of the node. Includes "vocabulary" as a late
            subscriber gets it, and "label_info" if vision_msgs is installed.
        stamps: Stamps of all messages in nanoseconds by topic, from the first complete frame to the last one.
        offered: Quality of service that the publishers offer, by topic.
    """

    messages: Mapping[str, Any]
    stamps: Mapping[str, tuple[int, ...]]
    offered: Mapping[str, QoSProfile]

    def __getitem__(self, topic: str) -> Any:
        return self.messages[topic]

    @property
    def clouds(self) -> dict[str, Any]:
        """Clouds of single labels by topic."""
        return {topic: message for topic, message in self.messages.items() if topic.startswith(CLOUD_PREFIX)}

    @property
    def known_ids(self) -> set[int]:
        """Label ids that the mask may contain, without 0."""
        if "label_info" in self.messages:
            return {vision_class.class_id for vision_class in self["label_info"].class_map}
        return {label.id for label in self["vocabulary"].labels}

    def with_change(self, topic: str, change: Callable[[Any], None]) -> Received:
        """Return a copy in which a function has modified one message."""
        message = copy.deepcopy(self[topic])
        change(message)
        return dataclasses.replace(self, messages={**self.messages, topic: message})


def receive(client: RosClient, slugs: Iterable[str], node: str = LSEG, camera: str = "") -> Received:
    """Subscribe to everything and wait for a few complete frames.

    Args:
        client: Client that subscribes.
        slugs: Slugs of the labels that have a cloud.
        node: Prefix of the outputs.
        camera: Prefix of the camera's topics.
    """
    types = {**OUTPUTS, **{CLOUD_PREFIX + slug: PointCloud2 for slug in slugs}}
    listeners = {topic: client.listen(message_type, f"{node}/{topic}") for topic, message_type in types.items()}
    listeners |= {topic: client.listen(message_type, f"{camera}/{topic}") for topic, message_type in CAMERA.items()}

    def complete_stamps() -> list[int]:
        common = set.intersection(*(set(listener.by_stamp()) for listener in listeners.values()))
        return sorted(common) if len(common) >= FRAMES else []

    complete = wait_until(complete_stamps, 40, "no complete frames")
    first, last = complete[0], complete[-1]
    stamps = {topic: listener.stamps() for topic, listener in listeners.items()}
    latched = {"vocabulary": client.listen(Vocabulary, f"{node}/vocabulary", LATCHED)}
    if LabelInfo is not None:
        latched["label_info"] = client.listen(LabelInfo, f"{node}/label_info", LATCHED)
    wait_until(lambda: all(listener.messages for listener in latched.values()), 10, "a latched message is missing")
    return Received(
        {topic: listener.by_stamp()[last] for topic, listener in listeners.items()}
        | {topic: listener.messages[-1] for topic, listener in latched.items()},
        {topic: tuple(stamp for stamp in stamps[topic] if first <= stamp <= last) for topic in stamps},
        {
            topic: client.node.get_publishers_info_by_topic(f"{node}/{topic}")[0].qos_profile
            for topic in (*types, *latched)
        },
    )
