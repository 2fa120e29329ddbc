"""A topic for each label's cloud: they come and go with the vocabulary."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from lseg_ros.messages import fill_cloud, point_fields
from lseg_ros.ros.qos import FRAME_QOS
from lseg_ros.structures import LabelCloud
from lseg_ros.vocabulary import Label

__all__ = ["LabelTopics"]

_FAREWELL_S = 1.0  # what was published last still has to reach a subscriber that asks for it again


class LabelTopics:
    """Publishers of ``~/points/<slug>``. Its methods exclude each other by a lock that the caller holds.

    prefix: of the topics' names, before the slug.
    """

    def __init__(self, node: Node, prefix: str) -> None:
        self._node = node
        self._prefix = prefix
        self._fields = point_fields(PointField)
        self._publishers: dict[str, Publisher] = {}
        self._leaving: list[tuple[float, Publisher]] = []
        self._header = Header()  # of the last frame

    def update(self, labels: Iterable[Label]) -> None:
        """Have a topic for each of these labels and for no other; one that goes says goodbye with an empty cloud.

        A consumer such as Nav2's obstacle layer keeps the last cloud for ever: it has to learn that nothing is left.
        """
        wanted = {label.slug: label for label in labels}
        for slug in [each for each in self._publishers if each not in wanted]:
            publisher = self._publishers.pop(slug)
            publisher.publish(self._message(_nothing(), self._header))
            self._leaving.append((time.monotonic(), publisher))
        for slug in wanted:
            if slug not in self._publishers:
                self._publishers[slug] = self._node.create_publisher(PointCloud2, self._prefix + slug, FRAME_QOS)

    def subscribed(self) -> bool:
        return any(each.get_subscription_count() for each in self._publishers.values())

    def publish(self, clouds: Iterable[LabelCloud], header: Header) -> None:
        """Send the clouds of a frame, empty ones too, to those who listen."""
        self._header = header
        for cloud in clouds:
            publisher = self._publishers.get(cloud.label.slug)
            if publisher is not None and publisher.get_subscription_count():
                publisher.publish(self._message(cloud, header))

    def sweep(self) -> None:
        """Take away topics that said goodbye a while ago."""
        now_s = time.monotonic()
        for since_s, publisher in [each for each in self._leaving if now_s - each[0] > _FAREWELL_S]:
            self._leaving.remove((since_s, publisher))
            self._node.destroy_publisher(publisher)

    def destroy(self) -> None:
        for publisher in (*self._publishers.values(), *(each for _, each in self._leaving)):
            self._node.destroy_publisher(publisher)
        self._publishers, self._leaving = {}, []

    def _message(self, cloud: LabelCloud, header: Header) -> PointCloud2:
        message = PointCloud2(header=header)
        fill_cloud(message, self._fields, cloud)
        return message


def _nothing() -> LabelCloud:
    label = Label(1, ("nothing",), (0, 0, 0), "nothing")
    return LabelCloud(label, np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
