"""The executable ``replay_camera``: publish a recorded RGB-D folder as a camera."""

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

_SHUTDOWN_DELAY_S = 1.0  # lets DDS deliver the last messages before the process ends


@dataclasses.dataclass(frozen=True)
class ReplayCameraConfig:
    """Parameters of ``replay_camera``."""

    folder: str = setting("", "recording: a folder with associations.txt, camera.yaml and the images they list")
    rate: float = setting(1.0, "playback speed as a multiple of real time", minimum=0.01, maximum=100.0)
    loop: bool = setting(False, "start again after the last image instead of exiting")
    own_stamps: bool = setting(
        False, "stamp messages with the time of the recording instead of the current time; stamps are then in the past"
    )
    depth_encoding: str = setting(
        "16UC1", "encoding of depth images: millimeters (16UC1) or meters (32FC1)", choices=DEPTH_ENCODINGS
    )
    frame_id: str = setting("camera_optical_frame", "coordinate frame of image and depth")

    def __post_init__(self) -> None:
        """Check all parameters; raises ValueError that names the parameter."""
        check(self)
        if not self.folder:
            raise ValueError("folder: expected a recording, as in --ros-args -p folder:=/data/tum_fr1_rpy, got none")


class ReplayCamera(Node):  # type: ignore[misc]  # rclpy is Any to mypy
    """Publishes a recording on the camera topics; image and depth keep their own stamps."""

    def __init__(self) -> None:
        """Open the recording and start to play it.

        Raises:
            ValueError: The folder is not a recording, or a file in it is invalid; the message names the file.
            FileNotFoundError: A file is missing.
        """
        super().__init__("replay_camera")
        declare(self, ReplayCameraConfig)
        self._config = read(self, ReplayCameraConfig)
        self._recording = RgbdFolder(self._config.folder, self._config.frame_id)
        self._topics = CameraTopics(self, self._config.depth_encoding)
        self._stop = threading.Event()
        self._is_playing = True
        self._wakeup = self.create_guard_condition(lambda: None)
        self.get_logger().info(f"playing {len(self._recording)} images of {self._recording.path}")
        self._player = threading.Thread(target=self._play, name="player", daemon=True)
        self._player.start()

    @property
    def is_playing(self) -> bool:
        """Whether the recording is still playing; always true with ``loop``."""
        return self._is_playing

    def destroy_node(self) -> None:
        """Stop playing and destroy the node."""
        self._stop.set()
        self._player.join()
        super().destroy_node()

    def _play(self) -> None:
        while not self._stop.is_set():
            self._play_once()
            if not self._config.loop and not self._stop.is_set():
                self.get_logger().info(f"finished playing {len(self._recording)} images of {self._recording.path}")
                self._stop.wait(_SHUTDOWN_DELAY_S)
                self._is_playing = False
                self._wakeup.trigger()  # no other event would end the wait of ``run``
                return

    def _play_once(self) -> None:
        pairs = self._recording.associations
        start_s, start_ns = time.monotonic(), self.get_clock().now().nanoseconds
        for number, pair in enumerate(pairs):
            try:
                frame = self._recording[number]
            except (OSError, ValueError) as error:
                self.get_logger().error(f"skipping image {number}: {error}")
                continue
            offset_s = (pair.rgb_ns - pairs[0].rgb_ns) / 1e9 / self._config.rate
            if self._stop.wait(max(start_s + offset_s - time.monotonic(), 0)):
                return
            shift_ns = 0 if self._config.own_stamps else start_ns + round(offset_s * 1e9) - pair.rgb_ns
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
    sys.exit(run(ReplayCamera, until=lambda node: not node.is_playing))


if __name__ == "__main__":
    main()
