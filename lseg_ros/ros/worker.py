"""The one thread that runs the network."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from rclpy.node import Node

from lseg_ros.pipeline import EncodedVocabulary, Pipeline, Want
from lseg_ros.ros.assembly import assemble
from lseg_ros.ros.diagnostics import Statistics
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.publishers import Publishers
from lseg_ros.ros.subscriptions import CameraSubscriptions, RawImage

__all__ = ["Live", "Worker"]

_IMPLAUSIBLE_AGE_S = 10.0
_CLOUDS = Want.POINTS | Want.LABEL_CLOUDS


@dataclass(frozen=True, eq=False)
class Live:
    """What the next frame is made with."""

    encoded: EncodedVocabulary
    unlabeled_threshold: float
    max_frame_age_s: float


class Worker:
    """Takes the newest image, makes it a frame, runs the pipeline and publishes, until stopped.

    ``live`` is replaced by other threads, which hold ``between_frames`` meanwhile: no frame of the old words goes out
    after that.
    """

    def __init__(
        self, node: Node, pipeline: Pipeline, live: Live, camera: CameraSubscriptions,
        mailbox: Mailbox[RawImage], publishers: Publishers, between_frames: threading.Lock, statistics: Statistics,
    ) -> None:  # fmt: skip
        self.live = live
        self._node = node
        self._pipeline = pipeline
        self._camera = camera
        self._mailbox = mailbox
        self._publishers = publishers
        self._between_frames = between_frames
        self._statistics = statistics
        self._thread = threading.Thread(target=self._run, name="lseg worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame at hand and end."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while (image := self._mailbox.take()) is not None:
            try:
                self._process(image)
            except Exception as error:  # the one broad except of the house: a bad frame must not end the node
                self._statistics.dropped("could not be processed")
                self._statistics.problem("frame", f"{type(error).__name__}: {error}", error=True)
                text = f"a frame could not be processed: {type(error).__name__}: {error}"
                self._node.get_logger().error(text, throttle_duration_sec=5.0)

    def _process(self, raw: RawImage) -> None:
        if self._is_stale(raw):
            return
        image = raw.message()
        camera_info = self._camera.camera_info_of(raw)
        want = self._publishers.wanted()
        depth = self._camera.depth_of(raw) if want & _CLOUDS else None
        frame, problems = assemble(image, depth, camera_info)
        for topic, problem in problems.items():
            self._statistics.problem(topic.name, problem)
        while True:
            live = self.live
            products = self._pipeline.process(frame, live.encoded, want, live.unlabeled_threshold)
            with self._between_frames:
                if self.live.encoded is live.encoded:
                    self._publishers.publish(products, image.header, camera_info)
                    break
            # The words changed meanwhile. The old ones must not appear any more; the frame gets the new ones.
        self._statistics.processed(
            time.monotonic(), time.monotonic() - raw.arrived_s, self._age_s(raw), products.stage_ms
        )

    def _is_stale(self, raw: RawImage) -> bool:
        age_s, limit_s = self._age_s(raw), self.live.max_frame_age_s
        stale = 0 < limit_s < age_s
        if stale:
            self._statistics.dropped("older than max_frame_age_s")
        if stale or abs(age_s) > _IMPLAUSIBLE_AGE_S:
            clock = "simulated" if self._node.get_parameter("use_sim_time").value else "system"
            advice = "set use_sim_time" if clock == "system" else "is /clock published, and needed?"
            text = f"stamps are {age_s:.1f} s behind the {clock} clock; for a recording or a simulation: {advice}"
            self._statistics.problem("stamps", text)
        return stale

    def _age_s(self, raw: RawImage) -> float:
        return (self._node.get_clock().now().nanoseconds - raw.stamp_ns) / 1e9
