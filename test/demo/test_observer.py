"""Pictures of what a node publishes.

A ROS client publishes instead of the camera and the node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.demo.observer import Snapshot
from lseg_ros.ros.conversions import make_header, publish_image
from lseg_ros.ros.topics import FRAME_QOS
from lseg_ros.structures import CLOUD_DTYPE, POINT_DTYPE
from lseg_ros.vocabulary import Vocabulary
from test.support.ros_client import RosClient, wait_until

TARGET = "/observed"
VOCABULARY = Vocabulary.of(["desk", "cup"])
IMAGES = ("rgb/image", f"{TARGET}/mask", f"{TARGET}/confidence")
CLOUDS = (f"{TARGET}/points", f"{TARGET}/points/desk", f"{TARGET}/points/cup")
SIZE = (24, 32)
RED, GREEN = (255, 0, 0), (0, 255, 0)

Publish = Callable[..., None]


@pytest.fixture
def snapshot(ros_client: RosClient) -> Snapshot:
    return Snapshot(ros_client.node, TARGET, VOCABULARY)


@pytest.fixture
def publish(ros_client: RosClient, snapshot: Snapshot) -> Iterator[Publish]:
    """A function that publishes one frame, except for some topics."""
    node = ros_client.node
    publishers = {topic: node.create_publisher(Image, topic, FRAME_QOS) for topic in IMAGES}
    publishers |= {topic: node.create_publisher(PointCloud2, topic, FRAME_QOS) for topic in CLOUDS}
    wait_until(
        lambda: all(publisher.get_subscription_count() for publisher in publishers.values()), 20, "no subscriber"
    )

    def publish_frame(color: tuple[int, int, int], stamp_ns: int, without: str = "") -> None:
        header = make_header(stamp_ns, "camera")
        values = {IMAGES[0]: np.full((*SIZE, 3), color, np.uint8), IMAGES[1]: np.ones(SIZE, np.uint8)}
        for topic in set(IMAGES) - {without}:
            pixels = values.get(topic, np.full(SIZE, 255, np.uint8))
            publish_image(publishers[topic], header, pixels, "rgb8" if pixels.ndim == 3 else "mono8")
        for topic in set(CLOUDS) - {without}:
            points = np.ones(SIZE, POINT_DTYPE) if topic == CLOUDS[0] else np.empty(0, CLOUD_DTYPE)
            publishers[topic].publish(cloud_to_cdr(header, points, is_dense=True))

    yield publish_frame
    ros_client.run_in_spin_thread(lambda: [node.destroy_publisher(publisher) for publisher in publishers.values()])


def test_draws_the_newest_complete_frame(snapshot: Snapshot, publish: Publish) -> None:
    now_ns = time.time_ns()
    publish(RED, now_ns)
    publish(GREEN, now_ns + 1_000_000)
    wait_until(lambda: snapshot.frames == 2, 20, "no frames")
    picture = snapshot.draw(timeout_s=0.0)
    height, width = picture.shape[:2]
    assert tuple(picture[height // 4, width // 4]) == GREEN


def test_names_the_topics_that_a_frame_lacks(snapshot: Snapshot, publish: Publish) -> None:
    publish(RED, time.time_ns(), without=f"{TARGET}/points")
    with pytest.raises(ValueError, match=r"expected a complete frame within 2.0 s, never got ~/points$"):
        snapshot.draw(timeout_s=2.0)


def test_ignores_images_taken_before_the_start(snapshot: Snapshot, publish: Publish) -> None:
    hour_ns = 3_600_000_000_000
    publish(RED, time.time_ns() - hour_ns)
    publish(GREEN, time.time_ns() + hour_ns)
    wait_until(lambda: snapshot.frames > 0, 20, "no frames")
    assert snapshot.frames == 1
    snapshot.draw(timeout_s=0.0)


def test_unsubscribes_after_drawing(ros_client: RosClient, snapshot: Snapshot, publish: Publish) -> None:
    publish(RED, time.time_ns())
    snapshot.draw(timeout_s=20.0)
    wait_until(lambda: ros_client.node.count_subscribers(f"{TARGET}/mask") == 0, 20, "still subscribed")
