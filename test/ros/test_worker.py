"""The worker on its own: what goes through the network together, and what happens in between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.pipeline import EncodedFrame, FrameResult, Outputs, Pipeline
from lseg_ros.ros.camera import LastFrame, PendingFrame
from lseg_ros.ros.mailbox import Mailbox
from lseg_ros.ros.worker import ActiveState, Worker
from lseg_ros.structures import Frame
from lseg_ros.vocabulary import Vocabulary
from test.support.ros_client import wait_until
from test.support.tiny_network import write_tiny

WORDS = Vocabulary.of(["floor", "wall"])


class Camera:
    """What the worker needs of a camera; images are Frames already."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: LastFrame | None = None
        self.published: list[FrameResult] = []
        self.errors: list[Exception] = []
        self.failed = self.errors.append

    def shot(self, image: Frame) -> PendingFrame | None:
        return (
            None if image.frame_id == "too old" else PendingFrame(image, SimpleNamespace(), None, Outputs.NONE, 0.0, {})
        )

    def publish(self, shot: PendingFrame, products: FrameResult) -> None:
        self.published.append(products)


class Recording(Pipeline):
    """Remembers what went through the network together."""

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
def pipeline(segmenter: Segmenter) -> Recording:
    return Recording(segmenter)


def frame(height: int = 48, width: int = 64, frame_id: str = "camera") -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), frame_id=frame_id)


def work(pipeline: Pipeline, **images: Frame) -> dict[str, Camera]:
    """Let a worker process images that wait together; returns their cameras."""
    cameras = {name: Camera(name) for name in images}
    mailbox: Mailbox[Frame] = Mailbox()
    for name, image in images.items():
        mailbox.put(name, image)
    live = ActiveState(pipeline.segmenter.encode(WORDS), 0.0)
    worker = Worker(pipeline, live, cameras.values(), mailbox, threading.Lock())
    wait_until(lambda: not mailbox._items, 10)  # stop would leave what was not taken
    worker.stop()
    return cameras


def test_frames_that_wait_together_go_through_the_network_together(pipeline: Recording):
    cameras = work(pipeline, front=frame(), rear=frame(), top=frame())
    assert pipeline.batches == [3]
    assert [len(each.published) for each in cameras.values()] == [1, 1, 1]


def test_what_is_too_old_goes_nowhere(pipeline: Recording):
    cameras = work(pipeline, front=frame(frame_id="too old"), rear=frame())
    assert pipeline.batches == [1]
    assert not cameras["front"].published
    assert not cameras["front"].errors


def test_of_a_batch_that_fails_only_the_bad_frame_is_lost(pipeline: Recording):
    cameras = work(pipeline, front=frame(), rear=frame(height=8), top=frame())
    assert pipeline.batches == [3, 1, 1, 1]
    assert [len(each.published) for each in cameras.values()] == [1, 0, 1]
    assert [len(each.errors) for each in cameras.values()] == [0, 1, 0]
    assert "at least 32x32 pixels" in str(cameras["rear"].errors[0])


def test_a_frame_whose_words_change_meanwhile_gets_the_new_ones_and_the_network_runs_once(segmenter: Segmenter):
    new = ActiveState(segmenter.encode(Vocabulary.of(["lamp"])), 0.0)

    class Interrupted(Recording):
        def postprocess(self, *arguments: object) -> FrameResult:
            products = super().postprocess(*arguments)
            worker.live = new
            return products

    pipeline, camera = Interrupted(segmenter), Camera("front")
    mailbox: Mailbox[Frame] = Mailbox()
    worker = Worker(pipeline, ActiveState(segmenter.encode(WORDS), 0.0), [camera], mailbox, threading.Lock())
    mailbox.put("front", frame())
    wait_until(lambda: not mailbox._items, 10)
    worker.stop()
    assert [each.segmentation.vocabulary.names for each in camera.published] == [("lamp",)]
    assert pipeline.batches == [1]


def test_the_last_frame_is_kept_with_its_embeddings_for_questions(pipeline: Recording):
    asked = frame()
    seen = work(pipeline, front=asked)["front"].seen
    assert seen is not None
    assert seen.embedded.frame is asked
    encoded = pipeline.segmenter.encode(WORDS)
    again = pipeline.segmenter.label(seen.embedded.embeddings, encoded)
    assert np.array_equal(again.label_map, pipeline.segmenter.segment(asked.image, encoded).label_map)
