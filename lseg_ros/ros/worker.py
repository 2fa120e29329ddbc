"""The one thread that runs the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lseg_ros.inference import EncodedVocabulary
from lseg_ros.pipeline import EncodedFrame, Pipeline
from lseg_ros.ros.camera import Camera, LastFrame, PendingFrame
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.subscriptions import RawImage

__all__ = ["ActiveState", "Worker"]


@dataclass(frozen=True, eq=False)
class ActiveState:
    """What the next frame is made with."""

    encoded: EncodedVocabulary
    unlabeled_threshold: float


class Worker:
    """Takes the newest image of every camera that has one, runs the pipeline and publishes, until stopped.

    ``live`` is replaced by other threads, which hold ``between_frames`` meanwhile: no frame of the old words goes out
    after that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        live: ActiveState,
        cameras: Iterable[Camera],
        mailbox: Mailbox[RawImage],
        between_frames: threading.Lock,
    ) -> None:
        self.live = live
        self._pipeline = pipeline
        self._cameras = {camera.name: camera for camera in cameras}
        self._mailbox = mailbox
        self._between_frames = between_frames
        self._thread = threading.Thread(target=self._run, name="lseg worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frames at hand and end."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while (images := self._mailbox.take()) is not None:
            shots: dict[Camera, PendingFrame] = {}
            for name, image in images.items():
                camera = self._cameras[name]
                with _surviving(camera.failed):
                    shot = camera.shot(image)
                    if shot is not None:
                        shots[camera] = shot
            if shots:
                self._process(shots)

    def _process(self, shots: dict[Camera, PendingFrame]) -> None:
        """Frames that waited together: through the network together, or one by one where one of them is bad."""
        errors: list[Exception] = []
        embedded: list[EncodedFrame] = []
        with _surviving(errors.append):
            embedded = self._pipeline.encode([shot.frame for shot in shots.values()])
        if errors and len(shots) > 1:
            errors.clear()  # they hold what filled the device's memory, if it was that
            for camera, shot in shots.items():
                self._process({camera: shot})
            return
        for camera, error in zip(shots, errors):
            camera.failed(error)
        for (camera, shot), each in zip(shots.items(), embedded):
            with _surviving(camera.failed):
                self._finish(camera, shot, each)

    def _finish(self, camera: Camera, shot: PendingFrame, embedded: EncodedFrame) -> None:
        while True:
            live = self.live
            products = self._pipeline.postprocess(embedded, live.encoded, shot.want, live.unlabeled_threshold)
            with self._between_frames:
                if self.live.encoded is live.encoded:
                    camera.publish(shot, products)
                    camera.seen = LastFrame(shot.header, embedded)
                    return
            # The words changed meanwhile. The old ones must not appear any more; the frame gets the new ones.


@contextmanager
def _surviving(failed: Callable[[Exception], None]) -> Iterator[None]:
    """Tell ``failed`` what goes wrong within, and go on."""
    try:
        yield
    except Exception as error:  # as broad as in reception: a bad frame must not end the node
        failed(error)
