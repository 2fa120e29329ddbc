"""The executable ``synthetic_camera``: an RGB-D camera in the synthetic world."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from lseg_ros.cdr import cloud_to_cdr
from lseg_ros.demo.camera_topics import DEPTH_ENCODINGS, CameraTopics
from lseg_ros.msg import Vocabulary as VocabularyMessage
from lseg_ros.ros.conversions import camera_info_from_intrinsics, make_header, publish_image, vocabulary_to_message
from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import run
from lseg_ros.ros.topics import CLOUD, FRAME_QOS, LATCHED_QOS
from lseg_ros.settings import check, setting
from lseg_ros.structures import POINT_DTYPE, to_xyz
from lseg_ros.synthetic import CLASSES, SyntheticCloud, SyntheticFrame, SyntheticWorld
from lseg_ros.vocabulary import Vocabulary

__all__ = [
    "GROUND_TRUTH",
    "GROUND_TRUTH_CLOUD",
    "GROUND_TRUTH_VOCABULARY",
    "SyntheticCamera",
    "SyntheticCameraConfig",
    "main",
]

GROUND_TRUTH = "ground_truth/labels"
GROUND_TRUTH_CLOUD = "ground_truth/cloud"
GROUND_TRUTH_VOCABULARY = "ground_truth/vocabulary"

_XYZ_DTYPE = np.dtype(POINT_DTYPE.descr[:3])


@dataclasses.dataclass(frozen=True)
class SyntheticCameraConfig:
    """Parameters of ``synthetic_camera``."""

    seed: int = setting(8, "seed of the world; the same seed gives the same world", minimum=0, maximum=2**31 - 1)
    width: int = setting(320, "width of the images", unit="px", minimum=16, maximum=4096)
    height: int = setting(240, "height of the images", unit="px", minimum=16, maximum=4096)
    rate_hz: float = setting(10.0, "image rate", unit="Hz", minimum=0.1, maximum=120.0)
    depth_encoding: str = setting(
        "16UC1", "encoding of depth images: millimeters (16UC1) or meters (32FC1)", choices=DEPTH_ENCODINGS
    )
    frame_id: str = setting("camera_optical_frame", "coordinate frame of image and depth")
    lidar: bool = setting(
        False, "also publish a lidar with 64 rings on cloud (frame lidar) and its labels on ground_truth/cloud"
    )

    def __post_init__(self) -> None:
        """Check all parameters; raises ValueError that names the parameter."""
        check(self)


class SyntheticCamera(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Publishes the camera topics and the ground truth.

    The label id of each pixel is on ``ground_truth/labels`` (mono8). The class of each id is on
    ``ground_truth/vocabulary`` (transient local). With ``lidar``, the label ids of points are on
    ``ground_truth/cloud``. The camera moves in real time, regardless of its rate. Stamps come
    from the clock of the node.
    """

    def __init__(self) -> None:
        """Create the world and start the timer."""
        super().__init__("synthetic_camera")
        declare(self, SyntheticCameraConfig)
        self._config = read(self, SyntheticCameraConfig)
        self._world = SyntheticWorld(self._config.seed, self._config.width, self._config.height)
        self._topics = CameraTopics(self, self._config.depth_encoding)
        self._labels = self.create_publisher(Image, GROUND_TRUTH, FRAME_QOS)
        self._vocabulary = self.create_publisher(VocabularyMessage, GROUND_TRUTH_VOCABULARY, LATCHED_QOS)
        now = self.get_clock().now()
        self._start_ns = now.nanoseconds
        self._cloud = self._cloud_labels = None
        if self._config.lidar:
            self._cloud = self.create_publisher(PointCloud2, CLOUD.name, FRAME_QOS)
            self._cloud_labels = self.create_publisher(PointCloud2, GROUND_TRUTH_CLOUD, FRAME_QOS)
        self._vocabulary.publish(vocabulary_to_message(Vocabulary.of(CLASSES), "synthetic", now.to_msg()))
        self._next = self._render(0.0)
        self.create_timer(1 / self._config.rate_hz, self._on_timer)

    def _on_timer(self) -> None:
        """Publish the frame rendered in advance and render the next one.

        The stamp of a frame is its publication time, so rendering must not delay it.
        """
        now_ns = self.get_clock().now().nanoseconds
        scene, turn = self._next
        if turn is not None:
            self._publish_turn(turn, make_header(now_ns, turn.cloud.frame_id))
        self._publish(scene, make_header(now_ns, self._config.frame_id))
        self._next = self._render((now_ns - self._start_ns) / 1e9 + 1 / self._config.rate_hz)

    def _render(self, t_s: float) -> tuple[SyntheticFrame, SyntheticCloud | None]:
        return self._world.frame(t_s), self._world.lidar(t_s) if self._config.lidar else None

    def _publish_turn(self, turn: SyntheticCloud, header: Header) -> None:
        assert self._cloud is not None and self._cloud_labels is not None  # created with the lidar
        points = np.zeros(len(turn.labels), POINT_DTYPE)
        to_xyz(points)[:] = turn.cloud.xyz
        self._cloud.publish(cloud_to_cdr(header, points[["x", "y", "z"]].astype(_XYZ_DTYPE), is_dense=False))
        points["label"], points["confidence"] = turn.labels, turn.labels > 0
        self._cloud_labels.publish(cloud_to_cdr(header, points, is_dense=False))

    def _publish(self, scene: SyntheticFrame, header: Header) -> None:
        frame = scene.frame
        assert frame.intrinsics is not None and frame.depth_m is not None  # the synthetic world provides both
        publish_image(self._labels, header, scene.labels, "mono8")
        self._topics.publish_depth(header, frame.depth_m)
        self._topics.publish_image(header, frame.image, camera_info_from_intrinsics(frame.intrinsics))


def main() -> None:
    """Run the node ``synthetic_camera``."""
    sys.exit(run(SyntheticCamera))


if __name__ == "__main__":
    main()
