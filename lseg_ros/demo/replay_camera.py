"""The executable ``replay_camera``: a recorded RGB-D folder as a camera."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time

from rclpy.node import Node

from lseg_ros.demo.camera_topics import DEPTH_ENCODINGS, CameraTopics
from lseg_ros.recordings import RgbdFolder
from lseg_ros.ros.conversions import camera_info_from_intrinsics, make_header
from lseg_ros.ros.parameters import declare, read
from lseg_ros.ros.runtime import run
from lseg_ros.settings import check, setting
from lseg_ros.structures import Frame

__all__ = ["ReplayCamera", "ReplayCameraConfig", "main"]

_FAREWELL_S = 1.0  # the last messages have to arrive before this process ends


@dataclasses.dataclass(frozen=True)
class ReplayCameraConfig:
    """Which recording, and how it is played."""

    folder: str = setting("", "the recording: a folder with associations.txt, camera.yaml and the images they name")
    rate: float = setting(1.0, "speed, 1 is as it was recorded", minimum=0.01, maximum=100.0)
    loop: bool = setting(False, "begin again after the last image; otherwise end")
    own_stamps: bool = setting(
        False,
        "stamp messages with the time of the recording (then set use_sim_time or expect old stamps), not with now",
    )
    depth_encoding: str = setting("16UC1", "millimeters (16UC1) or meters (32FC1)", choices=DEPTH_ENCODINGS)
    frame_id: str = setting("camera_optical_frame", "coordinate frame of image and depth")

    def __post_init__(self) -> None:
        check(self)
        if not self.folder:
            raise ValueError("folder: expected a recording, as in --ros-args -p folder:=/data/tum_fr1_rpy, got none")


class ReplayCamera(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Publishes a recording on the camera topics, depth under a stamp of its own, as it was recorded.

    Raises ValueError or FileNotFoundError that name the file where the folder is no recording.
    """

    def __init__(self) -> None:
        super().__init__("replay_camera")
        declare(self, ReplayCameraConfig)
        self._config = read(self, ReplayCameraConfig)
        self._recording = RgbdFolder(self._config.folder, self._config.frame_id)
        self._topics = CameraTopics(self, self._config.depth_encoding)
        self._ended = threading.Event()
        self._player = threading.Thread(target=self._play, name="player", daemon=True)
        self._player.start()

    @property
    def playing(self) -> bool:
        """False once the recording is over, and is not to begin again."""
        return self._player.is_alive()

    def destroy_node(self) -> None:
        self._ended.set()
        self._player.join()
        super().destroy_node()

    def _play(self) -> None:
        while not self._ended.is_set():
            self._play_once()
            if not self._config.loop:
                self.get_logger().info(f"the {len(self._recording)} images of {self._recording.path} have been played")
                self._ended.wait(_FAREWELL_S)
                return

    def _play_once(self) -> None:
        pairs = self._recording.associations
        start_s, start_ns = time.monotonic(), self.get_clock().now().nanoseconds
        for number, pair in enumerate(pairs):
            try:
                frame = self._recording[number]
            except (OSError, ValueError) as error:
                self.get_logger().error(f"left out: {error}")
                continue
            since_s = (pair.rgb_ns - pairs[0].rgb_ns) / 1e9 / self._config.rate
            if self._ended.wait(max(start_s + since_s - time.monotonic(), 0)):
                return
            shift_ns = 0 if self._config.own_stamps else start_ns + round(since_s * 1e9) - pair.rgb_ns
            self._publish(frame, pair.rgb_ns + shift_ns, pair.depth_ns + shift_ns)

    def _publish(self, frame: Frame, rgb_ns: int, depth_ns: int) -> None:
        calibration = self._recording.calibration
        camera_info = camera_info_from_intrinsics(
            calibration.intrinsics, calibration.distortion_model, calibration.distortion
        )
        self._topics.publish_image(make_header(rgb_ns, frame.frame_id), frame.image, camera_info)
        if frame.depth_m is not None:
            self._topics.publish_depth(make_header(depth_ns, frame.frame_id), frame.depth_m)


def main() -> None:
    """Run the node ``replay_camera``."""
    sys.exit(run(ReplayCamera, until=lambda node: not node.playing))


if __name__ == "__main__":
    main()
