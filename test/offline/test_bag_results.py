"""``lseg segment BAG``: the results of a bag are a bag with the topics of the node."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg

from lseg_ros.bags import Bag, BagRecording, read_custom_data
from lseg_ros.bags.message_types import result_types
from lseg_ros.cli import main
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.offline.bag_results import BagResults
from lseg_ros.offline.labeler import Labeler, LabelerConfig
from lseg_ros.pipeline import PipelineConfig
from lseg_ros.vocabulary import Vocabulary
from test.support.bags import (
    FRAME_ID,
    HEIGHT,
    IMAGE,
    MS,
    PERIOD_NS,
    START_NS,
    WIDTH,
    image,
    make_pixels,
    make_recording,
    record,
    write_bag,
)

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 5
LABELS = ["floor", "sofa|couch"]
ALL_OUTPUTS = ("--outputs", "overlay", "points", "clouds", "summary")


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bag") / "mcap", make_recording(FRAMES))


def segment(bag: Path, checkpoint: str, out: Path, *options: str, labels: Sequence[str] = LABELS) -> int:
    network = ("--checkpoint", checkpoint, "--device", "cpu", "--frames-per-file", "2")
    return main(["segment", str(bag), "--labels", *labels, *network, "--out", str(out), *options])


@pytest.fixture(scope="module")
def results(bag: Path, checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the results with all outputs."""
    out = tmp_path_factory.mktemp("out")
    assert segment(bag, checkpoint, out, *ALL_OUTPUTS) == 0
    return out / "recording_segmented"


def read(folder: Path, topic: str) -> list[Any]:
    with Bag(folder) as bag:
        return [bag.deserialize(topic, message.data) for message in bag.messages([topic])]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_frame_gets_its_mask_with_the_header_of_the_image(bag: Path, results: Path, checkpoint: str) -> None:
    segmenter = Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu"))
    encoded = segmenter.encode(Vocabulary.of(LABELS))
    masks, confidences = read(results, "/lseg/mask"), read(results, "/lseg/confidence")
    assert len(masks) == len(confidences) == FRAMES
    for number, (mask, confidence) in enumerate(zip(masks, confidences)):
        expected = segmenter.segment(make_pixels(number), encoded)
        assert np.array_equal(mask.data.reshape(HEIGHT, WIDTH), expected.label_map)
        assert np.array_equal(confidence.data.reshape(HEIGHT, WIDTH), expected.confidence)
        assert (mask.encoding, mask.step, mask.header.frame_id) == ("mono8", WIDTH, FRAME_ID)
        assert mask.header.stamp.sec * 10**9 + mask.header.stamp.nanosec == START_NS + number * PERIOD_NS
        assert confidence.header == mask.header


def test_vocabulary_and_label_info_precede_the_first_mask(results: Path) -> None:
    with Bag(results) as bag:
        topics = [message.topic for message in bag.messages([*bag.topics]) if message.topic.startswith("/lseg/")]
        assert topics[:2] == ["/lseg/vocabulary", "/lseg/label_info"]
        assert bag.topics["/lseg/vocabulary"].latched and bag.topics["/lseg/label_info"].latched
    (vocabulary,), (label_info,) = read(results, "/lseg/vocabulary"), read(results, "/lseg/label_info")
    assert [(label.id, label.name, label.synonyms, label.slug) for label in vocabulary.labels] == [
        (1, "floor", ["floor"], "floor"),
        (2, "sofa", ["sofa", "couch"], "sofa"),
    ]
    assert (vocabulary.epoch, vocabulary.prompt_templates) == (1, ["{}"])
    assert [(label.class_id, label.class_name) for label in label_info.class_map] == [(1, "floor"), (2, "sofa")]


def test_points_clouds_and_summary_describe_the_same_frame(results: Path) -> None:
    mask = read(results, "/lseg/mask")[0].data.reshape(HEIGHT, WIDTH)
    points = read(results, "/lseg/points")[0]
    assert (points.height, points.width, points.is_dense) == (HEIGHT, WIDTH, False)
    count = 0
    for label in ("floor", "sofa"):
        clouds = read(results, f"/lseg/points/{label}")
        assert len(clouds) == FRAMES  # also if they are empty
        count += clouds[0].width
    assert count == (mask[1:] > 0).sum()  # the first row has no depth
    summary = read(results, "/lseg/summary")[0]
    assert summary.has_depth
    assert sum(label.pixels for label in summary.labels) == (mask > 0).sum()
    assert read(results, "/lseg/overlay")[0].encoding == "rgb8"


def test_tf_and_camera_info_are_copied(bag: Path, results: Path) -> None:
    with Bag(bag) as original, Bag(results) as copy:
        for topic in ("/tf", "/tf_static"):
            assert [m[1:] for m in copy.messages([topic])] == [m[1:] for m in original.messages([topic])]
        assert copy.topics["/tf_static"].latched and not copy.topics["/tf"].latched
    infos = read(results, "/lseg/camera_info")
    assert [info.k[0] for info in infos] == [60] * FRAMES


def test_only_the_requested_outputs_are_written(bag: Path, checkpoint: str, tmp_path: Path) -> None:
    assert segment(bag, checkpoint, tmp_path, "--outputs", "summary") == 0
    with Bag(tmp_path / "recording_segmented") as results:
        names = {"camera_info", "confidence", "label_info", "mask", "summary", "vocabulary"}
        assert {name for name in results.topics if name.startswith("/lseg/")} == {f"/lseg/{name}" for name in names}


@pytest.mark.parametrize("kind", ["db3", "bag"])
def test_bags_of_every_kind_give_the_same_results(kind: str, results: Path, checkpoint: str, tmp_path: Path) -> None:
    same = write_bag(tmp_path / "bag", make_recording(FRAMES), kind)
    assert segment(same, checkpoint, tmp_path, *ALL_OUTPUTS) == 0
    with Bag(results) as expected, Bag(tmp_path / "recording_segmented") as given:
        assert list(given.messages([*given.topics])) == list(expected.messages([*expected.topics]))


def test_bags_of_the_same_name_keep_their_results_in_one_folder(
    bag: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_bag(tmp_path / "other", make_recording(1))
    assert other.name == bag.name
    for path, count, folder in (
        (bag, FRAMES, "recording_segmented"),
        (other, 1, "recording_2_segmented"),
        (bag, FRAMES, "recording_segmented"),
    ):
        assert segment(path, checkpoint, tmp_path / "out") == 0
        assert str(tmp_path / "out" / folder) in capsys.readouterr().out
        assert len(read(tmp_path / "out" / folder, "/lseg/mask")) == count
    (tmp_path / "out" / "sources.json").write_text("[]")
    assert segment(bag, checkpoint, tmp_path / "out") == 2
    assert "sources.json: expected the sources of earlier results" in capsys.readouterr().err


def test_two_runs_give_identical_bytes(bag: Path, results: Path, checkpoint: str, tmp_path: Path) -> None:
    assert segment(bag, checkpoint, tmp_path, *ALL_OUTPUTS) == 0
    assert content(tmp_path / "recording_segmented") == content(results)
    assert set(content(results)) == {"metadata.yaml", *(f"recording_segmented_{number}.mcap" for number in range(3))}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "recording_segmented", "sources.json"]


class TestResume:
    def test_an_interrupted_run_continues_with_the_first_missing_file(
        self, bag: Path, results: Path, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labeled: list[int] = []
        process = Labeler.process

        def count(*arguments: Any) -> Any:
            labeled.append(1)
            if len(labeled) == 4:  # in the second of three files
                raise KeyboardInterrupt
            return process(*arguments)

        monkeypatch.setattr(Labeler, "process", count)
        assert segment(bag, checkpoint, tmp_path, *ALL_OUTPUTS) == 130
        assert read_custom_data(tmp_path / "recording_segmented") is None
        assert segment(bag, checkpoint, tmp_path, *ALL_OUTPUTS) == 0
        assert len(labeled) == 4 + 3
        assert content(tmp_path / "recording_segmented") == content(results)

    def test_an_interruption_while_the_files_are_joined_is_repaired(
        self, bag: Path, results: Path, checkpoint: str, tmp_path: Path
    ) -> None:
        network = SegmenterConfig(checkpoint=checkpoint, device="cpu")
        config = LabelerConfig(network, PipelineConfig(), Vocabulary.of(LABELS))
        outputs = ALL_OUTPUTS[1:]
        with BagRecording(bag) as recording:
            unfinished = BagResults(recording, tmp_path, "recording", config, outputs, 2)
            labeler = Labeler(config)
            for part in unfinished.missing_parts():
                part.run(labeler, lambda: None)
            unfinished.folder.mkdir()
            shutil.move(unfinished.parts()[0].folder / "0.mcap", unfinished.folder / "recording_segmented_0.mcap")
        assert segment(bag, checkpoint, tmp_path, *ALL_OUTPUTS) == 0
        assert content(tmp_path / "recording_segmented") == content(results)

    def test_a_complete_result_is_kept_and_other_settings_replace_it(
        self, bag: Path, results: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "recording_segmented"
        shutil.copytree(results, folder)
        assert segment(bag, checkpoint, tmp_path, *ALL_OUTPUTS) == 0
        assert "is complete already" in capsys.readouterr().out
        assert segment(bag, checkpoint, tmp_path, labels=["wall"]) == 0
        assert f"{FRAMES} frames of {IMAGE}, " in capsys.readouterr().out
        assert [label.name for label in read(folder, "/lseg/vocabulary")[0].labels] == ["wall"]

    def test_a_folder_with_other_files_is_not_touched(
        self, bag: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "recording_segmented"
        folder.mkdir()
        (folder / "thesis.tex").write_text("")
        assert segment(bag, checkpoint, tmp_path) == 2
        assert "recording_segmented: expected a new folder or earlier results" in capsys.readouterr().err
        assert content(folder) == {"thesis.tex": b""}


class TestBadInput:
    def test_an_unreadable_image_costs_its_frame(
        self, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = [message for message in make_recording(3) if message.topic != IMAGE]
        for number, encoding in enumerate(("rgb8", "rgb9", "rgb8")):
            stamp_ns = START_NS + number * PERIOD_NS
            messages.append(record(IMAGE, stamp_ns + 12 * MS, image(make_pixels(number), encoding, stamp_ns)))
        bag = write_bag(tmp_path / "bag", messages)
        assert segment(bag, checkpoint, tmp_path) == 0
        assert f"3 frames of {IMAGE}" in (printed := capsys.readouterr().out) and "1 could not be read" in printed
        assert "frame 1 has no results: encoding: expected one of" in caplog.text
        assert len(read(tmp_path / "recording_segmented", "/lseg/mask")) == 2

    def test_a_bag_without_readable_images_is_an_error(
        self, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        message = record(IMAGE, START_NS, image(make_pixels(0), "rgb9", START_NS))
        assert segment(write_bag(tmp_path / "bag", [message]), checkpoint, tmp_path) == 2
        assert "expected images, but none of 1 can be read: encoding: expected one of" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--image", "/nowhere"], f"image: expected one of {IMAGE} (sensor_msgs/Image rgb8, {FRAMES} messages)"),
            (["--outputs", "video"], "outputs: expected some of overlay, points, clouds, summary, got 'video'"),
        ],
    )
    def test_unusable_options_are_named(
        self,
        options: list[str],
        message: str,
        bag: Path,
        checkpoint: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        try:
            assert segment(bag, checkpoint, tmp_path, *options) == 2
        except SystemExit as end:  # a value that the settings reject
            assert end.code == 2
        assert message in " ".join(capsys.readouterr().err.replace("│", "").split())
        assert not [path for path in tmp_path.iterdir() if path.name != "labels.json"]


@pytest.mark.parametrize("path", sorted((ROOT / "msg").glob("*.msg")), ids=lambda path: path.stem)
def test_message_definitions_equal_those_of_the_package(path: Path) -> None:
    name = f"lseg_ros/msg/{path.stem}"
    if name in result_types().fielddefs:
        assert get_types_from_msg(path.read_text(), name)[name] == result_types().fielddefs[name]
