"""The worker thread without ROS: batches, failures, and label changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.pipeline import EncodedFrame, FrameResult, Outputs, Pipeline, PipelineConfig
from lseg_ros.ros.camera import LastFrame, PendingFrame
from lseg_ros.ros.labels import LabelManager
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.parameters import NodeConfig
from lseg_ros.ros.worker import Worker
from lseg_ros.structures import Frame
from lseg_ros.vocabulary import Vocabulary
from test.support.ros_client import wait_until
from test.support.tiny_network import write_tiny


class FakeCamera:
    """The part of a camera that the worker uses. Its images are frames."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_frame: LastFrame | None = None
        self.published: list[FrameResult] = []
        self.errors: list[Exception] = []
        self.report_failure = self.errors.append

    def prepare(self, image: Frame) -> PendingFrame | None:
        if image.frame_id == "too old":
            return None
        return PendingFrame(image, SimpleNamespace(), None, Outputs.NONE, 0.0, {})

    def publish(self, pending: PendingFrame, result: FrameResult) -> None:
        self.published.append(result)


class RecordingPipeline(Pipeline):
    """Records the sizes of the batches."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__(segmenter)
        self.batches: list[int] = []

    def encode(self, frames: Sequence[Frame]) -> list[EncodedFrame]:
        self.batches.append(len(frames))
        return super().encode(frames)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    path = write_tiny(tmp_path_factory.mktemp("tiny"))
    return Segmenter.from_checkpoint(SegmenterConfig(checkpoint=path, device="cpu", cpu_threads=1))


@pytest.fixture
def pipeline(segmenter: Segmenter) -> RecordingPipeline:
    return RecordingPipeline(segmenter)


def make_labels(segmenter: Segmenter) -> LabelManager:
    labels = LabelManager(NodeConfig(labels=("floor", "wall")), segmenter.config, PipelineConfig())
    labels.load(segmenter)
    return labels


def make_frame(height: int = 48, width: int = 64, frame_id: str = "camera") -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), frame_id=frame_id)


def process(pipeline: Pipeline, labels: LabelManager, **images: Frame) -> dict[str, FakeCamera]:
    """Let a worker process images that wait in the mailbox together. Returns their cameras."""
    cameras: Any = {name: FakeCamera(name) for name in images}
    mailbox: Mailbox[Any] = Mailbox()
    for name, image in images.items():
        mailbox.put(name, image)
    worker = Worker(pipeline, labels, cameras.values(), mailbox, threading.Lock())
    wait_until(lambda: not mailbox._items, 10)  # stop() discards images that still wait
    worker.stop()
    return dict(cameras)


def test_processes_waiting_frames_as_one_batch(pipeline: RecordingPipeline) -> None:
    labels = make_labels(pipeline.segmenter)
    cameras = process(pipeline, labels, front=make_frame(), rear=make_frame(), top=make_frame())
    assert pipeline.batches == [3]
    assert [len(camera.published) for camera in cameras.values()] == [1, 1, 1]


def test_skips_frames_that_are_too_old(pipeline: RecordingPipeline) -> None:
    labels = make_labels(pipeline.segmenter)
    cameras = process(pipeline, labels, front=make_frame(frame_id="too old"), rear=make_frame())
    assert pipeline.batches == [1]
    assert not cameras["front"].published
    assert not cameras["front"].errors


def test_loses_only_the_bad_frame_of_a_batch(pipeline: RecordingPipeline) -> None:
    labels = make_labels(pipeline.segmenter)
    cameras = process(pipeline, labels, front=make_frame(), rear=make_frame(height=8), top=make_frame())
    assert pipeline.batches == [3, 1, 1, 1]
    assert [len(camera.published) for camera in cameras.values()] == [1, 0, 1]
    assert [len(camera.errors) for camera in cameras.values()] == [0, 1, 0]
    assert "at least 32x32 pixels" in str(cameras["rear"].errors[0])


def test_labels_a_frame_again_if_the_labels_change_while_the_network_runs_once(segmenter: Segmenter) -> None:
    labels = make_labels(segmenter)

    class InterruptedPipeline(RecordingPipeline):
        def postprocess(self, *args: Any) -> FrameResult:
            result = super().postprocess(*args)
            labels.commit(labels.propose_labels(["lamp"], [], [], append=False))
            return result

    pipeline = InterruptedPipeline(segmenter)
    camera = process(pipeline, labels, front=make_frame())["front"]
    assert [result.segmentation.vocabulary.names for result in camera.published] == [("lamp",)]
    assert pipeline.batches == [1]


def test_publishes_a_frame_although_the_labels_change_whenever_they_can(segmenter: Segmenter) -> None:
    labels, between_frames = make_labels(segmenter), threading.Lock()

    class RestlessPipeline(RecordingPipeline):
        def postprocess(self, *args: Any) -> FrameResult:
            result = super().postprocess(*args)
            if between_frames.acquire(blocking=False):  # as the node does to change the labels
                labels.commit(labels.propose_labels(["lamp"], [], [], append=False))
                between_frames.release()
            return result

    camera, mailbox = FakeCamera("front"), Mailbox[Any]()
    mailbox.put("front", make_frame())
    worker = Worker(RestlessPipeline(segmenter), labels, [camera], mailbox, between_frames)  # type: ignore[list-item]
    wait_until(lambda: bool(camera.published), 10)
    worker.stop()
    assert [result.segmentation.vocabulary.names for result in camera.published] == [("lamp",)]


def test_uses_the_settings_of_the_active_state(pipeline: RecordingPipeline) -> None:
    labels = make_labels(pipeline.segmenter)
    received: list[Any] = []
    pipeline.postprocess = lambda *args: received.append(args)  # type: ignore[method-assign, assignment, return-value]
    process(pipeline, labels, front=make_frame())
    state = labels.state
    assert received[0][1:] == (state.encoded, Outputs.NONE, state.unlabeled_threshold, state.pipeline)


def test_keeps_the_last_frame_with_its_embeddings_for_queries(pipeline: RecordingPipeline) -> None:
    labels, frame = make_labels(pipeline.segmenter), make_frame()
    last = process(pipeline, labels, front=frame)["front"].last_frame
    assert last is not None
    assert last.encoded.frame is frame
    encoded = pipeline.segmenter.encode(Vocabulary.of(["floor", "wall"]))
    segmentation = pipeline.segmenter.label(last.encoded.embeddings, encoded)
    assert np.array_equal(segmentation.label_map, pipeline.segmenter.segment(frame.image, encoded).label_map)
