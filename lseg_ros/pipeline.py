"""One frame, one straight line: image -> segmentation -> the pictures and points that someone asked for."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import label_clouds, organized_cloud
from lseg_ros.inference import EncodedVocabulary, PixelEmbeddings, Segmenter, similarity
from lseg_ros.query import QueryResult, locate
from lseg_ros.settings import check, setting
from lseg_ros.structures import Frame, LabelCloud, Segmentation, to_xyz
from lseg_ros.summary import Summary, summarize
from lseg_ros.visualization import overlay
from lseg_ros.vocabulary import Label, Vocabulary, parse_synonyms

__all__ = ["EncodedFrame", "FrameResult", "Outputs", "Pipeline", "PipelineConfig"]


class Outputs(enum.Flag):
    """What to make of a frame beside its segmentation."""

    NONE = 0
    OVERLAY = enum.auto()
    POINTS = enum.auto()
    LABEL_CLOUDS = enum.auto()
    SUMMARY = enum.auto()
    ANY_POINTS = POINTS | LABEL_CLOUDS | SUMMARY  # what depth is needed for


@dataclass(frozen=True)
class PipelineConfig:
    """What is made of a segmentation."""

    cloud_labels: tuple[str, ...] = setting(
        (),
        "labels that get a cloud of their own; empty for all, a name that is not looked for is no error",
        dynamic=True,
    )
    depth_min_m: float = setting(0.0, "points nearer than this are invalid", unit="m", minimum=0.0, dynamic=True)
    depth_max_m: float = setting(
        0.0, "points farther than this are invalid, 0 for no limit", unit="m", minimum=0.0, dynamic=True
    )
    voxel_size_m: float = setting(
        0.0, "label clouds keep one point per cube of this side, 0 for every point", unit="m", minimum=0.0, dynamic=True
    )
    overlay_alpha: float = setting(
        0.5, "how much of the overlay is label color", minimum=0.0, maximum=1.0, dynamic=True
    )

    def __post_init__(self) -> None:
        check(self)
        if 0 < self.depth_max_m < self.depth_min_m:
            raise ValueError(
                f"depth_max_m: expected 0 or at least depth_min_m ({self.depth_min_m} m), got {self.depth_max_m} m"
            )

    def labels_with_cloud(self, vocabulary: Vocabulary) -> tuple[Label, ...]:
        """The labels of ``cloud_labels``, by any of their synonyms, in the vocabulary's order."""
        wanted = {text.strip().casefold() for entry in self.cloud_labels for text in entry.split("|")}
        return tuple(
            label
            for label in vocabulary.labels
            if not wanted or any(text.casefold() in wanted for text in label.synonyms)
        )


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """A frame that the network has seen and that was not asked for any word yet; network_ms: its share of a batch."""

    frame: Frame
    embeddings: PixelEmbeddings
    network_ms: float


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What was made of one frame; None where it was not asked for, or not possible without depth or intrinsics.

    overlay: (H, W, 3) uint8 RGB with a legend. points: (H, W) of POINT_DTYPE, NaN in x, y and z where invalid.
    clouds: one for each label with a cloud, also the empty ones. summary: has no distances without depth or intrinsics.
    stage_ms: how long each stage took.
    """

    frame: Frame
    segmentation: Segmentation
    overlay: NDArray[np.uint8] | None
    points: NDArray[np.void] | None
    clouds: tuple[LabelCloud, ...] | None
    summary: Summary | None
    stage_ms: dict[str, float]


class Pipeline:
    """The network with all that follows it.

    ``config`` may be replaced between frames, by any thread.
    """

    def __init__(self, segmenter: Segmenter, config: PipelineConfig | None = None) -> None:
        self.segmenter = segmenter
        self.config = config or PipelineConfig()

    def process(
        self,
        frame: Frame,
        encoded_vocabulary: EncodedVocabulary,
        outputs: Outputs = Outputs.NONE,
        unlabeled_threshold: float | None = None,
    ) -> FrameResult:
        """All that ``outputs`` names, of one frame: ``encode`` and ``postprocess`` in one."""
        (encoded_frame,) = self.encode([frame])
        return self.postprocess(encoded_frame, encoded_vocabulary, outputs, unlabeled_threshold)

    def encode(self, frames: Sequence[Frame]) -> list[EncodedFrame]:
        """Frames of one moment through the network, as one batch where they fit together."""
        start = time.perf_counter()
        embeddings = self.segmenter.embed_all([frame.image for frame in frames])
        share_ms = (time.perf_counter() - start) * 1e3 / max(len(frames), 1)
        return [EncodedFrame(*pair, share_ms) for pair in zip(frames, embeddings)]

    def postprocess(
        self,
        encoded_frame: EncodedFrame,
        encoded_vocabulary: EncodedVocabulary,
        outputs: Outputs = Outputs.NONE,
        unlabeled_threshold: float | None = None,
    ) -> FrameResult:
        """All that ``outputs`` names, of one frame that the network has seen.

        unlabeled_threshold: see ``Segmenter.label``.
        """
        config, frame = self.config, encoded_frame.frame  # one config for the whole frame
        stage_ms = {"network": encoded_frame.network_ms}
        with _timed(stage_ms, "labels"):
            segmentation = self.segmenter.label(encoded_frame.embeddings, encoded_vocabulary, unlabeled_threshold)
        overlay_image = points = clouds = summary = None
        if outputs & Outputs.OVERLAY:
            with _timed(stage_ms, "overlay"):
                overlay_image = overlay(frame.image, segmentation, config.overlay_alpha)
        if outputs & Outputs.ANY_POINTS and frame.depth_m is not None and frame.intrinsics is not None:
            with _timed(stage_ms, "points"):
                points = organized_cloud(frame, segmentation, config.depth_min_m, config.depth_max_m or np.inf)
            if outputs & Outputs.LABEL_CLOUDS:
                with _timed(stage_ms, "clouds"):
                    labels = config.labels_with_cloud(encoded_vocabulary.vocabulary)
                    clouds = label_clouds(points, segmentation.label_map, labels, config.voxel_size_m)
        if outputs & Outputs.SUMMARY:
            with _timed(stage_ms, "summary"):
                summary = summarize(segmentation, None if points is None else to_xyz(points))
        published = points if outputs & Outputs.POINTS else None
        return FrameResult(frame, segmentation, overlay_image, published, clouds, summary, stage_ms)

    def query(self, encoded_frame: EncodedFrame, text: str, prompt_templates: Sequence[str] = ("{}",)) -> QueryResult:
        """Where in a frame that the network has seen a text fits best; the network does not run again.

        text: as an entry of a label list, ``|`` between synonyms. Raises ValueError that says what is wrong with it.
        """
        parse_synonyms(text, "text")
        query = self.segmenter.encode(Vocabulary.of([text], prompt_templates=prompt_templates))
        config = self.config
        cosine = similarity(encoded_frame.embeddings, query.embeddings[0])
        return locate(cosine, encoded_frame.frame, config.depth_min_m, config.depth_max_m or np.inf)


@contextmanager
def _timed(stage_ms: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stage_ms[stage] = (time.perf_counter() - start) * 1e3
