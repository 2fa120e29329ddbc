"""What a consumer has in its hands: the messages of one frame, when others came, and what was offered."""

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
CLOUD = "points/"  # what a label's cloud begins with
FRAMES = 3


@dataclass(frozen=True)
class Received:
    """messages: of one frame by topic, without the node's name; "vocabulary", and "label_info" where vision_msgs is
    installed, as they are told to someone who comes late. stamps: of all that came, in nanoseconds, by topic, from the
    first frame of which everything came to the last. offered: what the publishers offer.
    """

    messages: Mapping[str, Any]
    stamps: Mapping[str, tuple[int, ...]]
    offered: Mapping[str, QoSProfile]

    def __getitem__(self, topic: str) -> Any:
        return self.messages[topic]

    @property
    def clouds(self) -> dict[str, Any]:
        """The clouds of single labels by topic."""
        return {topic: each for topic, each in self.messages.items() if topic.startswith(CLOUD)}

    @property
    def known_ids(self) -> set[int]:
        """The ids that may stand in the mask, 0 not among them."""
        if "label_info" in self.messages:
            return {each.class_id for each in self["label_info"].class_map}
        return {each.id for each in self["vocabulary"].labels}

    def changed(self, topic: str, change: Callable[[Any], Any]) -> Received:
        """The same with one message changed, which the callable does in place."""
        message = copy.deepcopy(self[topic])
        change(message)
        return dataclasses.replace(self, messages={**self.messages, topic: message})


def receive(ros_client: RosClient, slugs: Iterable[str], node: str = LSEG, camera: str = "") -> Received:
    """Listen to everything until a few frames came of which nothing is missing.

    node and camera: what the names of the outputs and of the camera's topics begin with.
    """
    types = {**OUTPUTS, **{CLOUD + slug: PointCloud2 for slug in slugs}}
    heard = {topic: ros_client.listen(kind, f"{node}/{topic}") for topic, kind in types.items()}
    heard |= {topic: ros_client.listen(kind, f"{camera}/{topic}") for topic, kind in CAMERA.items()}

    def complete() -> list[int]:
        common = set.intersection(*(set(each.by_stamp()) for each in heard.values()))
        return sorted(common) if len(common) >= FRAMES else []

    whole = wait_until(complete, 40, "no frames with everything")
    stamps = {topic: tuple(listener.stamps()) for topic, listener in heard.items()}
    late = {"vocabulary": ros_client.listen(Vocabulary, f"{node}/vocabulary", LATCHED)}
    if LabelInfo is not None:
        late["label_info"] = ros_client.listen(LabelInfo, f"{node}/label_info", LATCHED)
    wait_until(lambda: all(each.messages for each in late.values()), 10, "nothing for a late joiner")
    return Received(
        {topic: each.by_stamp()[whole[-1]] for topic, each in heard.items()}
        | {topic: each.messages[-1] for topic, each in late.items()},
        {topic: tuple(each for each in some if whole[0] <= each <= whole[-1]) for topic, some in stamps.items()},
        {
            topic: ros_client.node.get_publishers_info_by_topic(f"{node}/{topic}")[0].qos_profile
            for topic in (*types, *late)
        },
    )
