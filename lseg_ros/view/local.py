"""Frames that are labeled in this process, by a ``Pipeline``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from lseg_ros.pipeline import EncodedFrame, Pipeline
from lseg_ros.settings import list_settings
from lseg_ros.view.feed import Found, LabeledFrame, MapCloud
from lseg_ros.view.sources import Source
from lseg_ros.vocabulary import Vocabulary

__all__ = ["LocalFeed"]


class LocalFeed:
    """A ``Feed`` that runs the network on the frames of a recording or of a camera.

    Attributes:
        title: Name of the source.
        length: Number of frames, 0 for a camera.
        moving: Whether the frames are played.
        threshold: The initial ``unlabeled_threshold``.
        cameras: No names, because a source has one camera.
        camera: "".
    """

    def __init__(self, pipeline: Pipeline, source: Source, vocabulary: Vocabulary, title: str) -> None:
        """Encode the labels.

        Args:
            pipeline: The network and its settings.
            source: Where the frames come from.
            vocabulary: The initial labels.
            title: Name of the source.

        Raises:
            ValueError: If the network cannot encode a label.
        """
        self.title = title
        configured = pipeline.segmenter.config.unlabeled_threshold
        self._threshold = configured if configured >= 0 else pipeline.segmenter.model.config.unlabeled_threshold
        self.threshold: float | None = self._threshold
        self.cameras: Sequence[str] = ()
        self.camera = ""
        self._pipeline = pipeline
        self.length, self.moving = source.length, source.moving
        self._source = source
        self._encoded = pipeline.segmenter.encode(vocabulary)
        self._frame: EncodedFrame | None = None
        self._place = ("", 0)  # name and index of the frame

    def read(self, index: int, timeout_s: float) -> LabeledFrame | None:
        """Run the network on a frame and label it."""
        frame, name = self._source.read(index, timeout_s), self._source.name(index)
        if frame is None:
            return None
        start_s = time.perf_counter()
        try:
            (self._frame,) = self._pipeline.encode([frame])
        except ValueError as error:  # such as an image that is too small for the network
            raise ValueError(f"{name}: {error}") from error
        self._place = name, index if self.length else 0
        return self._label(start_s)

    def read_again(self, timeout_s: float) -> LabeledFrame | None:
        """Label the last frame without running the network."""
        return self._label(time.perf_counter())

    def set_labels(self, entries: Sequence[str], colors: Sequence[str] | None = None) -> None:
        """Encode other labels."""
        vocabulary = self._encoded.vocabulary.replace(entries, colors=colors)
        self._encoded = self._pipeline.segmenter.encode(vocabulary)

    def set_threshold(self, threshold: float) -> None:
        """Use another threshold from the next labeling on."""
        self._threshold = threshold

    def select_camera(self, name: str) -> None:
        """Do nothing: there is only one camera."""

    def query(self, text: str) -> Found:
        """Find a text in the last frame."""
        if self._frame is None:
            raise ValueError("query: no frame was processed yet")
        templates = self._encoded.vocabulary.prompt_templates
        return Found(self._frame.frame, self._pipeline.query(self._frame, text, templates))

    def has_map(self) -> bool:
        """Return False: frames are forgotten."""
        return False

    def map_cloud(self, query: str, hidden: Collection[int]) -> MapCloud | None:
        """Return None."""
        return None

    def rest(self) -> None:
        """Do nothing: the network stays loaded."""

    def command(self, frame: LabeledFrame, image: str) -> str:
        """Return the ``lseg segment`` command of this frame."""
        vocabulary = self._encoded.vocabulary
        path = frame.name if Path(frame.name).is_file() else image
        words = ["lseg", "segment", path, "--labels", *vocabulary.entries]
        if vocabulary.prompt_templates != ("{}",):
            words += ["--prompt-templates", *vocabulary.prompt_templates]
        config = self._pipeline.segmenter.config
        for item in list_settings(type(config)):
            value = self._threshold if item.name == "unlabeled_threshold" else getattr(config, item.name)
            if value != item.default:
                flag = f"--{item.name.replace('_', '-')}"
                words += [flag] if isinstance(value, bool) else [flag, str(value)]
        return shlex.join(words)

    def _label(self, start_s: float) -> LabeledFrame | None:
        if self._frame is None:
            return None
        result = self._pipeline.postprocess(self._frame, self._encoded, unlabeled_threshold=self._threshold)
        latency_ms = (time.perf_counter() - start_s) * 1e3
        return LabeledFrame(*self._place, result.frame, result.segmentation, latency_ms)
