"""A topic for each label's cloud: they come and go with the vocabulary."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.ros.qos import FRAME_QOS
from lseg_ros.structures import CLOUD_DTYPE, LabelCloud
from lseg_ros.vocabulary import Label

__all__ = ["LabelTopics"]

_NOTHING = np.empty(0, CLOUD_DTYPE)
_FAREWELL_S = 1.0  # what was published last still has to reach a subscriber that asks for it again


class LabelTopics:
    """Publishers of ``~/points/<slug>``. Its methods exclude each other by a lock that the caller holds.

    prefix: of the topics' names, before the slug.
    """

    def __init__(self, node: Node, prefix: str) -> None:
        self._node = node
        self._prefix = prefix
        self._publishers: dict[str, Publisher] = {}
        self._leaving: list[tuple[float, Publisher]] = []
        self._header = Header()  # of the last frame

    def update(self, labels: Iterable[Label]) -> None:
        """Have a topic for each of these labels and for no other; one that goes says goodbye with an empty cloud.

        A consumer such as Nav2's obstacle layer keeps the last cloud for ever: it has to learn that nothing is left.
        """
        slugs = [label.slug for label in labels]
        before = self._publishers
        for publisher in [before[slug] for slug in before if slug not in slugs]:
            self._say_goodbye(publisher)
            self._leaving.append((time.monotonic(), publisher))
        self._publishers = {slug: before[slug] if slug in before else self._create(slug) for slug in slugs}

    def subscribed(self) -> list[str]:
        """Names of the topics that someone subscribes to; any thread may ask."""
        return [each.topic_name for each in self._publishers.values() if each.get_subscription_count()]

    def publish(self, clouds: Iterable[LabelCloud], header: Header) -> None:
        """Send the clouds of a frame, empty ones too, to those who listen."""
        self._header = header
        for cloud in clouds:
            publisher = self._publishers.get(cloud.label.slug)
            if publisher is not None and publisher.get_subscription_count():
                publisher.publish(cloud_to_cdr(header, cloud.points, is_dense=True))

    def sweep(self) -> None:
        """Take away topics that said goodbye a while ago."""
        now_s = time.monotonic()
        for since_s, publisher in [each for each in self._leaving if now_s - each[0] > _FAREWELL_S]:
            self._leaving.remove((since_s, publisher))
            self._node.destroy_publisher(publisher)

    def destroy(self) -> None:
        """Take away every topic at once, and see to it that those who listen have heard the goodbye."""
        going, self._publishers = list(self._publishers.values()), {}
        heard = [each for each in going if each.get_subscription_count()] if self._node.context.ok() else []
        for publisher in heard:
            self._say_goodbye(publisher)
        deadline_s = time.monotonic() + _FAREWELL_S
        for publisher in heard:
            publisher.wait_for_all_acked(Duration(seconds=max(deadline_s - time.monotonic(), 0.0)))
        for publisher in (*going, *(each for _, each in self._leaving)):
            self._node.destroy_publisher(publisher)
        self._leaving = []

    def _create(self, slug: str) -> Publisher:
        return self._node.create_publisher(PointCloud2, self._prefix + slug, FRAME_QOS)

    def _say_goodbye(self, publisher: Publisher) -> None:
        publisher.publish(cloud_to_cdr(self._header, _NOTHING, is_dense=True))
