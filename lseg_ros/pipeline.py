"""The pipeline of one frame: image to segmentation to the requested outputs."""

from __future__ import annotations

import enum
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import label_clouds, organized_cloud
from lseg_ros.inference import EncodedVocabulary, PixelEmbeddings, Segmenter, similarity
from lseg_ros.lidar import LabeledCloud, fill_organized, label_cloud
from lseg_ros.query import QueryResult, locate
from lseg_ros.settings import check, setting
from lseg_ros.structures import Frame, LabelCloud, Segmentation, to_xyz
from lseg_ros.summary import Summary, summarize
from lseg_ros.visualization import overlay
from lseg_ros.vocabulary import Label, Vocabulary, parse_synonyms

__all__ = ["EncodedFrame", "FrameResult", "Outputs", "Pipeline", "PipelineConfig"]


class Outputs(enum.Flag):
    """What to compute in addition to the segmentation."""

    NONE = 0
    OVERLAY = enum.auto()
    POINTS = enum.auto()
    LABEL_CLOUDS = enum.auto()
    SUMMARY = enum.auto()
    LIDAR_CLOUD = enum.auto()
    ANY_POINTS = POINTS | LABEL_CLOUDS | SUMMARY  # the outputs that use depth and, if the frame has one, the cloud
    ANY_CLOUD = ANY_POINTS | LIDAR_CLOUD  # the outputs that use the cloud


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of what is computed from a segmentation."""

    cloud_labels: tuple[str, ...] = setting(
        (),
        "labels that get their own cloud; empty for all, names that are not in the label set are ignored",
        dynamic=True,
    )
    depth_min_m: float = setting(0.0, "points nearer than this are invalid", unit="m", minimum=0.0, dynamic=True)
    depth_max_m: float = setting(
        0.0, "points farther than this are invalid, 0 for no limit", unit="m", minimum=0.0, dynamic=True
    )
    voxel_size_m: float = setting(
        0.0,
        "edge length of the cubes in which label clouds keep one point, 0 to keep every point",
        unit="m",
        minimum=0.0,
        dynamic=True,
    )
    overlay_alpha: float = setting(
        0.5, "opacity of the label colors in the overlay", minimum=0.0, maximum=1.0, dynamic=True
    )

    def __post_init__(self) -> None:
        check(self)
        if 0 < self.depth_max_m < self.depth_min_m:
            raise ValueError(
                f"depth_max_m: expected 0 or at least depth_min_m ({self.depth_min_m} m), got {self.depth_max_m} m"
            )

    def labels_with_cloud(self, vocabulary: Vocabulary) -> tuple[Label, ...]:
        """Return the labels that get a cloud, in the order of the vocabulary.

        ``cloud_labels`` may name a label by any of its synonyms.
        """
        selected = {
            unicodedata.normalize("NFC", text).strip().casefold()
            for entry in self.cloud_labels
            for text in entry.split("|")
        }
        return tuple(
            label
            for label in vocabulary.labels
            if not selected or any(text.casefold() in selected for text in label.synonyms)
        )


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """A frame with its pixel embeddings, which are independent of the vocabulary.

    Attributes:
        frame: The frame.
        embeddings: Its pixel embeddings.
        network_ms: Time of the network, divided by the number of frames in the batch.
    """

    frame: Frame
    embeddings: PixelEmbeddings
    network_ms: float


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The outputs of one frame.

    Attributes:
        frame: The frame.
        segmentation: Its segmentation.
        overlay: (H, W, 3) uint8 RGB with a legend; None if not requested.
        points: (H, W) of POINT_DTYPE, NaN in x, y and z where invalid; None if not requested or if the frame has no
            depth and no cloud, or no intrinsics. Lidar points fill pixels without depth.
        clouds: One cloud for each label that gets one, including empty ones; None like ``points``.
        summary: The labels in view, without distances if the frame has no points; None if not requested.
        labeled_cloud: The points of the frame's cloud that the camera sees; None if not requested, or if the frame has
            no cloud or no intrinsics.
        stage_ms: Duration of each stage.
    """

    frame: Frame
    segmentation: Segmentation
    overlay: NDArray[np.uint8] | None
    points: NDArray[np.void] | None
    clouds: tuple[LabelCloud, ...] | None
    summary: Summary | None
    labeled_cloud: LabeledCloud | None
    stage_ms: dict[str, float]


class Pipeline:
    """The network and everything that follows it.

    Attributes:
        segmenter: The network.
        config: Default settings, for calls without their own.
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
        """Compute the outputs of one frame: ``encode`` followed by ``postprocess``."""
        (encoded_frame,) = self.encode([frame])
        return self.postprocess(encoded_frame, encoded_vocabulary, outputs, unlabeled_threshold)

    def encode(self, frames: Sequence[Frame]) -> list[EncodedFrame]:
        """Run the network on frames that were taken together.

        Images with the same network input size form one batch.
        """
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
        config: PipelineConfig | None = None,
    ) -> FrameResult:
        """Compute the outputs of an encoded frame.

        Args:
            encoded_frame: Result of ``encode``.
            encoded_vocabulary: The encoded label set.
            outputs: What to compute in addition to the segmentation.
            unlabeled_threshold: See ``Segmenter.label``.
            config: Settings for this frame, instead of those of the pipeline.
        """
        config, frame = config or self.config, encoded_frame.frame  # the same settings for the whole frame
        stage_ms = {"network": encoded_frame.network_ms}
        with _timed(stage_ms, "labels"):
            segmentation = self.segmenter.label(encoded_frame.embeddings, encoded_vocabulary, unlabeled_threshold)
        overlay_image = points = clouds = summary = labeled = None
        nearest_m, farthest_m = config.depth_min_m, config.depth_max_m or np.inf
        if outputs & Outputs.OVERLAY:
            with _timed(stage_ms, "overlay"):
                overlay_image = overlay(frame.image, segmentation, config.overlay_alpha)
        if outputs & Outputs.ANY_CLOUD and frame.cloud is not None and frame.intrinsics is not None:
            with _timed(stage_ms, "cloud"):
                labeled = label_cloud(frame, segmentation, nearest_m, farthest_m)
        has_points = frame.intrinsics is not None and (frame.depth_m is not None or labeled is not None)
        if outputs & Outputs.ANY_POINTS and has_points:
            with _timed(stage_ms, "points"):
                points = organized_cloud(_with_some_depth(frame), segmentation, nearest_m, farthest_m)
            if outputs & Outputs.LABEL_CLOUDS:
                with _timed(stage_ms, "clouds"):
                    labels = config.labels_with_cloud(encoded_vocabulary.vocabulary)
                    clouds = label_clouds(*_all_points(points, segmentation, labeled), labels, config.voxel_size_m)
            if labeled is not None:
                with _timed(stage_ms, "cloud"):
                    fill_organized(points, labeled)
        if outputs & Outputs.SUMMARY:
            with _timed(stage_ms, "summary"):
                summary = summarize(segmentation, None if points is None else to_xyz(points))
        published = points if outputs & Outputs.POINTS else None
        labeled = labeled if outputs & Outputs.LIDAR_CLOUD else None
        return FrameResult(frame, segmentation, overlay_image, published, clouds, summary, labeled, stage_ms)

    def query(
        self,
        encoded_frame: EncodedFrame,
        text: str,
        prompt_templates: Sequence[str] = ("{}",),
        config: PipelineConfig | None = None,
    ) -> QueryResult:
        """Find a text in an encoded frame. The network does not run again.

        Args:
            encoded_frame: Result of ``encode``.
            text: An entry of a label list, ``|`` between synonyms.
            prompt_templates: Texts with one ``{}`` for the synonym.
            config: Settings for this query, instead of those of the pipeline.

        Raises:
            ValueError: The text or a template is invalid.
        """
        parse_synonyms(text, "text")
        query = self.segmenter.encode(Vocabulary.of([text], prompt_templates=prompt_templates), competing=False)
        config = config or self.config
        cosine = similarity(encoded_frame.embeddings, query.embeddings[0])
        return locate(cosine, encoded_frame.frame, config.depth_min_m, config.depth_max_m or np.inf)


def _with_some_depth(frame: Frame) -> Frame:
    """Return the frame with its depth, or with unknown depth if it has none."""
    if frame.depth_m is not None:
        return frame
    return replace(frame, depth_m=np.full(frame.size, np.nan, np.float32))


def _all_points(
    points: NDArray[np.void], segmentation: Segmentation, labeled: LabeledCloud | None
) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    """Join the points of depth and lidar, and their labels."""
    if labeled is None:
        return points, segmentation.label_map
    label_map = np.concatenate([segmentation.label_map.reshape(-1), labeled.points["label"].astype(np.uint8)])
    return np.concatenate([points.reshape(-1), labeled.points]), label_map


@contextmanager
def _timed(stage_ms: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stage_ms[stage] = stage_ms.get(stage, 0.0) + (time.perf_counter() - start) * 1e3
