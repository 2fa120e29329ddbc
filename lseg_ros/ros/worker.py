"""The thread that runs the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from lseg_ros.pipeline import EncodedFrame, FrameResult, Pipeline
from lseg_ros.ros.camera import Camera, LastFrame, PendingFrame
from lseg_ros.ros.labels import ActiveState, LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.subscriptions import RawImage
from lseg_ros.structures import Segmentation

__all__ = ["Worker"]


class Worker:
    """Takes the newest image of every camera, runs the pipeline and publishes, until stopped.

    Every frame is labeled with the active state. The state changes under ``between_frames``, and the worker publishes
    under the same lock, so no frame with old labels is published after a change.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        labels: LabelManager,
        cameras: Iterable[Camera],
        mailbox: Mailbox[RawImage],
        between_frames: threading.Lock,
        on_labeled: Callable[[Camera, EncodedFrame, Segmentation], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            pipeline: Processes the frames.
            labels: Holds the active state, with encoded labels.
            cameras: The cameras, open and subscribed.
            mailbox: Delivers the newest image of each camera.
            between_frames: Lock that the worker holds while it publishes a frame.
            on_labeled: Called with every published frame. It must return at once.
        """
        self._pipeline = pipeline
        self._labels = labels
        self._cameras = {camera.name: camera for camera in cameras}
        self._mailbox = mailbox
        self._between_frames = between_frames
        self._on_labeled = on_labeled
        self._thread = threading.Thread(target=self._run, name="lseg worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the current frames and end the thread."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while (images := self._mailbox.take()) is not None:
            pending: dict[Camera, PendingFrame] = {}
            for name, image in images.items():
                camera = self._cameras[name]
                with _catch_errors(camera.report_failure):
                    frame = camera.prepare(image)
                    if frame is not None:
                        pending[camera] = frame
            if pending:
                self._process(pending)

    def _process(self, pending: dict[Camera, PendingFrame]) -> None:
        """Process frames as one batch, or one by one if the batch fails."""
        errors: list[Exception] = []
        encoded_frames: list[EncodedFrame] = []
        with _catch_errors(errors.append):
            encoded_frames = self._pipeline.encode([frame.frame for frame in pending.values()])
        if errors and len(pending) > 1:
            errors.clear()  # the traceback keeps tensors alive, which matters if the device ran out of memory
            for camera, frame in pending.items():
                self._process({camera: frame})
            return
        for camera, error in zip(pending, errors):
            camera.report_failure(error)
        for (camera, frame), encoded_frame in zip(pending.items(), encoded_frames):
            with _catch_errors(camera.report_failure):
                self._publish(camera, frame, encoded_frame)

    def _publish(self, camera: Camera, frame: PendingFrame, encoded_frame: EncodedFrame) -> None:
        state = self._labels.state
        result = self._postprocess(frame, encoded_frame, state)
        with self._between_frames:
            if self._labels.state.encoded is not state.encoded:
                # Old labels must not be published. While the lock is held, the labels cannot change again.
                result = self._postprocess(frame, encoded_frame, self._labels.state)
            camera.publish(frame, result)
            camera.last_frame = LastFrame(frame.header, encoded_frame)
        if self._on_labeled is not None:
            self._on_labeled(camera, encoded_frame, result.segmentation)

    def _postprocess(self, frame: PendingFrame, encoded_frame: EncodedFrame, state: ActiveState) -> FrameResult:
        assert state.encoded is not None  # the worker only runs while a network is loaded
        return self._pipeline.postprocess(
            encoded_frame, state.encoded, frame.outputs, state.unlabeled_threshold, state.pipeline
        )


@contextmanager
def _catch_errors(handle: Callable[[Exception], None]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # any error: one bad frame must not stop the node
        handle(error)
