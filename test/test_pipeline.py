"""Tests of the whole pipeline with a small network of random weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lseg_ros.geometry import project
from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig
from lseg_ros.pipeline import Outputs, Pipeline, PipelineConfig
from lseg_ros.structures import Cloud, Frame, Intrinsics
from lseg_ros.vocabulary import Vocabulary
from test.support.tiny_network import write_tiny

WORDS = Vocabulary.of(["floor", "sofa|couch", "person", "tree", "car", "sky"])
CAMERA = Intrinsics(fx=100.0, fy=100.0, cx=63.5, cy=47.5, width=128, height=96)
ALL_OUTPUTS = Outputs.OVERLAY | Outputs.POINTS | Outputs.LABEL_CLOUDS | Outputs.SUMMARY


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter.from_checkpoint(
        SegmenterConfig(checkpoint=write_tiny(tmp_path_factory.mktemp("tiny")), device="cpu", cpu_threads=1)
    )


@pytest.fixture(scope="module")
def encoded(segmenter: Segmenter) -> EncodedVocabulary:
    return segmenter.encode(WORDS)


@pytest.fixture
def frame() -> Frame:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    depth_m = random.uniform(1, 4, (96, 128)).astype(np.float32)
    depth_m[random.random((96, 128)) < 0.2] = np.nan
    return Frame(image, depth_m, CAMERA, stamp_ns=42, frame_id="camera")


def test_outputs_of_a_frame_are_consistent(segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame) -> None:
    assert frame.depth_m is not None
    result = Pipeline(segmenter).process(frame, encoded, ALL_OUTPUTS)
    label_map, points, clouds = result.segmentation.label_map, result.points, result.clouds
    assert result.frame is frame
    assert result.segmentation.vocabulary is WORDS
    assert points is not None
    assert clouds is not None
    assert result.overlay is not None
    assert result.overlay.shape == frame.image.shape
    assert np.array_equal(points["label"], label_map)
    assert np.array_equal(np.isfinite(points["z"]), np.isfinite(frame.depth_m))
    assert [cloud.label for cloud in clouds] == list(WORDS.labels)
    for cloud in clouds:
        column, row = np.round(project(cloud.xyz, CAMERA)).astype(int).T
        assert (label_map[row, column] == cloud.label.id).all()
        assert len(cloud.xyz) == ((label_map == cloud.label.id) & np.isfinite(frame.depth_m)).sum()
    assert result.summary is not None
    assert [item.points for item in result.summary.labels] == [len(cloud.xyz) for cloud in clouds if len(cloud.xyz)]
    assert set(result.stage_ms) == {"network", "labels", "overlay", "points", "clouds", "summary"}
    assert all(duration_ms > 0 for duration_ms in result.stage_ms.values())


@pytest.mark.parametrize(
    "outputs", [Outputs.NONE, Outputs.OVERLAY, Outputs.POINTS, Outputs.LABEL_CLOUDS, Outputs.SUMMARY, ALL_OUTPUTS]
)
def test_computes_only_requested_outputs(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame, outputs: Outputs
) -> None:
    result = Pipeline(segmenter).process(frame, encoded, outputs)
    assert (result.overlay is not None) == bool(outputs & Outputs.OVERLAY)
    assert (result.points is not None) == bool(outputs & Outputs.POINTS)
    assert (result.clouds is not None) == bool(outputs & Outputs.LABEL_CLOUDS)
    assert (result.summary is not None) == bool(outputs & Outputs.SUMMARY)


@pytest.mark.parametrize("named", [("sofa",), ("Couch ",), ("sofa|couch",)], ids=["name", "synonym", "entry"])
def test_cloud_labels_match_any_synonym(named: tuple[str, ...]) -> None:
    assert PipelineConfig(cloud_labels=named).labels_with_cloud(WORDS) == (WORDS["sofa"],)


@pytest.mark.parametrize("missing", ["depth_m", "intrinsics"])
def test_returns_no_points_without_depth_or_intrinsics(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame, missing: str
) -> None:
    without: dict[str, Any] = {missing: None}
    incomplete = dataclasses.replace(frame, **without)
    result = Pipeline(segmenter).process(incomplete, encoded, ALL_OUTPUTS)
    assert result.points is None
    assert result.clouds is None
    assert result.overlay is not None
    assert result.summary is not None
    assert not result.summary.has_depth
    assert sum(item.pixels for item in result.summary.labels) == result.segmentation.label_map.size


def test_query_returns_the_most_similar_pixel(segmenter: Segmenter, frame: Frame) -> None:
    pipeline = Pipeline(segmenter, PipelineConfig(depth_max_m=3.0))
    (encoded_frame,) = pipeline.encode([frame])
    answer = pipeline.query(encoded_frame, "settee|couch", ["a {}"])
    (column, row), similarity = answer.pixel, answer.similarity
    assert similarity.shape == frame.size
    assert answer.score == similarity[row, column] == similarity.max() <= 1
    assert answer.point is not None
    assert answer.point[2] <= 3
    assert np.abs(project(answer.point, CAMERA) - answer.pixel).max() < 8.5
    assert pipeline.query(encoded_frame, "couch|settee", ["a {}"]).score == pytest.approx(answer.score)
    assert pipeline.query(encoded_frame, "settee|couch").score != answer.score


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 1001, "text: expected at most 1000 characters, got 1001"),
        (" ", "text: expected a word, got a blank"),
        ("word " * 100, "expected at most .* tokens"),
        ("a|a", "twice"),
    ],
)
def test_query_rejects_invalid_texts(segmenter: Segmenter, frame: Frame, text: str, message: str) -> None:
    pipeline = Pipeline(segmenter)
    with pytest.raises(ValueError, match=message):
        pipeline.query(pipeline.encode([frame])[0], text)


def test_batched_frames_give_the_same_results_as_single_frames(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame
) -> None:
    pipeline = Pipeline(segmenter)
    frames = [frame, dataclasses.replace(frame, image=np.ascontiguousarray(frame.image[::-1]))]
    for single, encoded_frame in zip(frames, pipeline.encode(frames)):
        batched, alone = (
            pipeline.postprocess(encoded_frame, encoded, ALL_OUTPUTS),
            pipeline.process(single, encoded, ALL_OUTPUTS),
        )
        assert batched.frame is single
        assert (batched.segmentation.label_map != alone.segmentation.label_map).mean() < 0.001  # ties
        assert set(batched.stage_ms) == set(alone.stage_ms)


def test_settings_can_change_between_frames(segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame) -> None:
    pipeline = Pipeline(segmenter)
    pipeline.config = PipelineConfig(cloud_labels=("Sofa", "unknown label"), depth_min_m=2.0, depth_max_m=3.0)
    result = pipeline.process(frame, encoded, ALL_OUTPUTS)
    assert result.points is not None
    assert result.clouds is not None
    assert [cloud.label.name for cloud in result.clouds] == ["sofa"]
    assert 2 <= np.nanmin(result.points["z"]) <= np.nanmax(result.points["z"]) <= 3
    pipeline.config = PipelineConfig(voxel_size_m=0.5)
    downsampled = pipeline.process(frame, encoded, Outputs.LABEL_CLOUDS).clouds
    pipeline.config = PipelineConfig()
    whole = pipeline.process(frame, encoded, Outputs.LABEL_CLOUDS).clouds
    assert downsampled is not None
    assert whole is not None
    assert 0 < sum(len(cloud.xyz) for cloud in downsampled) < sum(len(cloud.xyz) for cloud in whole)


def test_threshold_argument_overrides_the_setting(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame
) -> None:
    result = Pipeline(segmenter).process(frame, encoded, ALL_OUTPUTS, unlabeled_threshold=1.0)
    assert not result.segmentation.label_map.any()
    assert result.clouds is not None
    assert not any(len(cloud.xyz) for cloud in result.clouds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth_min_m": -1.0}, "depth_min_m: expected"),
        ({"depth_min_m": 3.0, "depth_max_m": 2.0}, r"depth_max_m: expected 0 or at least depth_min_m \(3.0 m\)"),
        ({"overlay_alpha": 1.5}, "overlay_alpha: expected"),
    ],
)
def test_rejects_invalid_settings_and_names_them(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PipelineConfig(**settings)  # type: ignore[arg-type]


def with_cloud(frame: Frame, depth_m: np.ndarray | None) -> Frame:
    """Replace the depth, and add a lidar wall at 3 m of which the camera sees 7 x 5 points."""
    x, y = np.meshgrid(np.arange(-3, 4) * 0.5, np.arange(-2, 3) * 0.5)
    xyz = np.stack([x, y, np.full_like(x, 3.0)], axis=-1).reshape(-1, 3).astype(np.float32)
    xyz = np.concatenate([xyz, [[0, 0, -3]]]).astype(np.float32)
    return dataclasses.replace(frame, depth_m=depth_m, cloud=Cloud(xyz, np.eye(4), (1, len(xyz)), 40, "lidar"))


def test_lidar_points_are_points_of_a_frame_without_depth(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame
) -> None:
    lidar_frame = with_cloud(frame, None)
    result = Pipeline(segmenter).process(lidar_frame, encoded, ALL_OUTPUTS | Outputs.LIDAR_CLOUD)
    assert result.labeled_cloud is not None and result.points is not None and result.clouds is not None
    assert result.labeled_cloud.index.tolist() == list(range(35))
    assert np.isfinite(result.points["z"]).sum() == 35
    assert np.array_equal(result.points["label"], result.segmentation.label_map)
    assert sum(len(cloud.points) for cloud in result.clouds) == 35
    assert result.summary is not None and result.summary.has_depth
    assert {"cloud", "points", "clouds"} <= set(result.stage_ms)


def test_lidar_points_join_those_of_depth(segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame) -> None:
    depth_m = np.full((96, 128), np.nan, np.float32)
    depth_m[:, :10] = 2.0
    result = Pipeline(segmenter).process(with_cloud(frame, depth_m), encoded, ALL_OUTPUTS)
    assert result.points is not None and result.clouds is not None
    assert np.isfinite(result.points["z"]).sum() == 960 + 35
    assert sum(len(cloud.points) for cloud in result.clouds) == 960 + 35
    assert result.labeled_cloud is None


def test_cloud_costs_nothing_if_no_output_uses_it(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame
) -> None:
    result = Pipeline(segmenter).process(with_cloud(frame, None), encoded, Outputs.OVERLAY)
    assert "cloud" not in result.stage_ms
