"""One frame through everything, with a whole network of random weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lseg_ros.geometry import project
from lseg_ros.inference import EncodedVocabulary, Segmenter, SegmenterConfig
from lseg_ros.pipeline import Outputs, Pipeline, PipelineConfig
from lseg_ros.structures import Frame, Intrinsics
from lseg_ros.vocabulary import Vocabulary
from test.support.tiny_network import write_tiny

WORDS = Vocabulary.of(["floor", "sofa|couch", "person", "tree", "car", "sky"])
CAMERA = Intrinsics(fx=100.0, fy=100.0, cx=63.5, cy=47.5, width=128, height=96)
EVERYTHING = Outputs.OVERLAY | Outputs.POINTS | Outputs.LABEL_CLOUDS | Outputs.SUMMARY


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


def test_everything_of_a_frame_agrees(segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame) -> None:
    result = Pipeline(segmenter).process(frame, encoded, EVERYTHING)
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
    assert [each.points for each in result.summary.labels] == [len(cloud.xyz) for cloud in clouds if len(cloud.xyz)]
    assert set(result.stage_ms) == {"network", "labels", "overlay", "points", "clouds", "summary"}
    assert all(took > 0 for took in result.stage_ms.values())


@pytest.mark.parametrize(
    "outputs", [Outputs.NONE, Outputs.OVERLAY, Outputs.POINTS, Outputs.LABEL_CLOUDS, Outputs.SUMMARY, EVERYTHING]
)
def test_only_what_is_wanted_is_made(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame, outputs: Outputs
) -> None:
    result = Pipeline(segmenter).process(frame, encoded, outputs)
    assert (result.overlay is not None) == bool(outputs & Outputs.OVERLAY)
    assert (result.points is not None) == bool(outputs & Outputs.POINTS)
    assert (result.clouds is not None) == bool(outputs & Outputs.LABEL_CLOUDS)
    assert (result.summary is not None) == bool(outputs & Outputs.SUMMARY)


@pytest.mark.parametrize("named", [("sofa",), ("Couch ",), ("sofa|couch",)], ids=["name", "synonym", "entry"])
def test_a_label_gets_its_cloud_by_any_of_its_texts(named: tuple[str, ...]) -> None:
    assert PipelineConfig(cloud_labels=named).labels_with_cloud(WORDS) == (WORDS["sofa"],)


@pytest.mark.parametrize("missing", ["depth_m", "intrinsics"])
def test_without_depth_or_intrinsics_there_are_no_points(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame, missing: str
) -> None:
    result = Pipeline(segmenter).process(dataclasses.replace(frame, **{missing: None}), encoded, EVERYTHING)
    assert result.points is None
    assert result.clouds is None
    assert result.overlay is not None
    assert result.summary is not None
    assert not result.summary.has_depth
    assert sum(each.pixels for each in result.summary.labels) == result.segmentation.label_map.size


def test_a_query_finds_the_pixel_that_is_most_like_the_text(segmenter: Segmenter, frame: Frame) -> None:
    pipeline = Pipeline(segmenter, PipelineConfig(depth_max_m=3.0))
    (encoded_frame,) = pipeline.encode([frame])
    found = pipeline.query(encoded_frame, "settee|couch", ["a {}"])
    (column, row), similarity = found.pixel, found.similarity
    assert similarity.shape == frame.size
    assert found.score == similarity[row, column] == similarity.max() <= 1
    assert found.point is not None
    assert found.point[2] <= 3
    assert np.abs(project(found.point, CAMERA) - found.pixel).max() < 8.5
    assert pipeline.query(encoded_frame, "couch|settee", ["a {}"]).score == pytest.approx(found.score)
    assert pipeline.query(encoded_frame, "settee|couch").score != found.score


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(" ", "text: expected a word, got a blank"), ("word " * 500, "expected at most .* tokens"), ("a|a", "twice")],
)
def test_a_text_that_cannot_be_asked_for_is_refused_with_the_reason(
    segmenter: Segmenter, frame: Frame, text: str, sentence: str
) -> None:
    pipeline = Pipeline(segmenter)
    with pytest.raises(ValueError, match=sentence):
        pipeline.query(pipeline.encode([frame])[0], text)


def test_frames_of_one_moment_give_what_each_gives_alone(
    segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame
) -> None:
    pipeline = Pipeline(segmenter)
    frames = [frame, dataclasses.replace(frame, image=np.ascontiguousarray(frame.image[::-1]))]
    for each, encoded_frame in zip(frames, pipeline.encode(frames)):
        together, alone = (
            pipeline.postprocess(encoded_frame, encoded, EVERYTHING),
            pipeline.process(each, encoded, EVERYTHING),
        )
        assert together.frame is each
        assert (together.segmentation.label_map != alone.segmentation.label_map).mean() < 0.001  # a tie, at most
        assert set(together.stage_ms) == set(alone.stage_ms)


def test_settings_may_change_between_frames(segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame) -> None:
    pipeline = Pipeline(segmenter)
    pipeline.config = PipelineConfig(cloud_labels=("Sofa", "nothing of the kind"), depth_min_m=2.0, depth_max_m=3.0)
    result = pipeline.process(frame, encoded, EVERYTHING)
    assert result.points is not None
    assert result.clouds is not None
    assert [cloud.label.name for cloud in result.clouds] == ["sofa"]
    assert 2 <= np.nanmin(result.points["z"]) <= np.nanmax(result.points["z"]) <= 3
    pipeline.config = PipelineConfig(voxel_size_m=0.5)
    thinned = pipeline.process(frame, encoded, Outputs.LABEL_CLOUDS).clouds
    pipeline.config = PipelineConfig()
    whole = pipeline.process(frame, encoded, Outputs.LABEL_CLOUDS).clouds
    assert thinned is not None
    assert whole is not None
    assert 0 < sum(len(cloud.xyz) for cloud in thinned) < sum(len(cloud.xyz) for cloud in whole)


def test_the_threshold_of_the_call_holds(segmenter: Segmenter, encoded: EncodedVocabulary, frame: Frame) -> None:
    result = Pipeline(segmenter).process(frame, encoded, EVERYTHING, unlabeled_threshold=1.0)
    assert not result.segmentation.label_map.any()
    assert result.clouds is not None
    assert not any(len(cloud.xyz) for cloud in result.clouds)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"depth_min_m": -1.0}, "depth_min_m: expected"),
        ({"depth_min_m": 3.0, "depth_max_m": 2.0}, r"depth_max_m: expected 0 or at least depth_min_m \(3.0 m\)"),
        ({"overlay_alpha": 1.5}, "overlay_alpha: expected"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PipelineConfig(**settings)  # type: ignore[arg-type]
