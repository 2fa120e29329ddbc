"""Frames of a camera in bags of every kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lseg_ros.assembly import DepthCamera, assemble
from lseg_ros.bags import Bag, BagRecording, is_bag
from lseg_ros.structures import Intrinsics
from lseg_ros.transforms import parse_pose
from test.support.bags import (
    DEPTH,
    FRAME_ID,
    HEIGHT,
    IMAGE,
    INFO,
    KINDS,
    MS,
    PERIOD_NS,
    START_NS,
    WIDTH,
    Recorded,
    camera_info,
    header,
    image,
    make_depth,
    make_pixels,
    make_recording,
    new,
    record,
    transform,
    write_bag,
)

FRAMES = 8


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bag") / "mcap", make_recording(FRAMES))


def without(messages: Sequence[Recorded], *topics: str) -> list[Recorded]:
    return [message for message in messages if message.topic not in topics]


@pytest.mark.parametrize("kind", KINDS)
def test_reads_every_frame_of_every_kind_of_bag(tmp_path: Path, kind: str) -> None:
    path = write_bag(tmp_path / "bag", make_recording(FRAMES), kind)
    assert is_bag(path)
    with BagRecording(path) as recording:
        assert recording.frame_index.topics[:3] == (IMAGE, DEPTH, INFO)
        assert len(recording) == FRAMES
        for number, frame in enumerate(recording):
            assert np.array_equal(frame.image, make_pixels(number))
            assert frame.depth_m is not None and frame.intrinsics is not None
            expected_mm = make_depth(number)
            assert np.array_equal(np.isnan(frame.depth_m), expected_mm == 0)
            assert np.allclose(frame.depth_m[1:], expected_mm[1:] / 1000)
            assert (frame.intrinsics.fx, frame.intrinsics.cx) == (60, 32)
            assert (frame.stamp_ns, frame.frame_id) == (START_NS + number * PERIOD_NS, FRAME_ID)


@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_a_bag_have_the_layout_of_ros_2(tmp_path: Path, kind: str) -> None:
    messages = make_recording(3)
    with Bag(write_bag(tmp_path / "bag", messages, kind)) as bag:
        assert list(bag.topics) == sorted({message.topic for message in messages})
        assert bag.topics["/tf"] == ("/tf", "tf2_msgs/msg/TFMessage", 6, False)
        read = list(bag.messages(["/tf", IMAGE]))
        expected = sorted((m for m in messages if m.topic in ("/tf", IMAGE)), key=lambda message: message.log_ns)
        assert [(message.topic, message.log_ns, message.data) for message in read] == [
            (message.topic, message.log_ns, message.data) for message in expected
        ]
        assert bag.deserialize("/tf", read[0].data).transforms[0].child_frame_id == "base_link"


def test_frames_can_be_accessed_in_any_order(bag: Path) -> None:
    with BagRecording(bag) as recording:
        for number in (5, 0, -1):
            assert np.array_equal(recording[number].image, make_pixels(number % FRAMES))
        assert [frame.stamp_ns for frame in recording[2:4]] == [START_NS + number * PERIOD_NS for number in (2, 3)]
        assert [frame.index for frame in recording.read(3, 6)] == [3, 4, 5]
        with pytest.raises(IndexError):
            recording[FRAMES]


def test_an_index_opens_the_bag_again_without_a_search(bag: Path) -> None:
    calls: list[tuple[int, int]] = []
    with BagRecording(bag, progress=lambda *counts: calls.append(counts)) as first:
        assert calls[-1] == (3 * FRAMES, 3 * FRAMES)
        calls.clear()
        with BagRecording(bag, frame_index=first.frame_index, progress=lambda *counts: calls.append(counts)) as second:
            assert np.array_equal(second[4].image, first[4].image)
    assert not calls


class TestMatching:
    def test_an_image_gets_the_nearest_depth_that_is_close_enough(self, tmp_path: Path) -> None:
        messages = without(make_recording(FRAMES), DEPTH)
        for offset_ms, value in ((-60, 1), (-20, 2), (30, 3)):  # from the stamp of frame 3
            stamp_ns = START_NS + 3 * PERIOD_NS + offset_ms * MS
            messages.append(
                record(DEPTH, stamp_ns + 100 * MS, image(np.full((48, 64), value, np.uint16), "16UC1", stamp_ns))
            )
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            frames = list(recording)
        assert [frame.depth_m is not None for frame in frames] == [number in (2, 3) for number in range(FRAMES)]
        for number, expected_m in ((2, 0.001), (3, 0.002)):
            depth_m = frames[number].depth_m
            assert depth_m is not None and depth_m[0, 0] == np.float32(expected_m)

    def test_a_camera_info_that_was_recorded_once_belongs_to_all_images(self, tmp_path: Path) -> None:
        messages = without(make_recording(FRAMES), INFO)
        messages.append(record(INFO, START_NS + 20 * MS, camera_info(0)))
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            assert all(frame.intrinsics is not None for frame in recording)

    def test_a_later_camera_info_replaces_the_first(self, tmp_path: Path) -> None:
        messages = without(make_recording(FRAMES), INFO)
        messages.append(record(INFO, START_NS - 5000 * MS, camera_info(START_NS - 5000 * MS, focal=50)))
        messages.append(record(INFO, START_NS + 450 * MS, camera_info(START_NS - 5000 * MS, focal=70)))
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            focal = [frame.intrinsics and frame.intrinsics.fx for frame in recording]
        assert focal == [50] * 5 + [70] * 3

    def test_a_depth_that_is_not_registered_costs_only_the_depth(self, tmp_path: Path) -> None:
        messages = without(make_recording(1), DEPTH)
        messages.append(record(DEPTH, START_NS + 30 * MS, image(make_depth(0), "16UC1", START_NS, "other")))
        with BagRecording(write_bag(tmp_path / "bag", messages), depth=DEPTH) as recording:
            (raw,) = recording.read()
            frame, problems = raw.assemble()
        assert frame.depth_m is None
        assert "depth must be registered to the image" in problems["depth"]

    def test_every_frame_is_read_if_the_clock_jumps_back(self, tmp_path: Path) -> None:
        first, second = make_recording(4), make_recording(3)
        later = [message._replace(log_ns=message.log_ns + 10_000 * MS) for message in second]
        with BagRecording(write_bag(tmp_path / "bag", [*first, *later])) as recording:
            frames = list(recording)
        assert [frame.stamp_ns for frame in frames] == [
            START_NS + number * PERIOD_NS for number in (0, 1, 2, 3, 0, 1, 2)
        ]
        assert all(frame.depth_m is not None for frame in frames)

    def test_messages_that_were_recorded_at_the_same_time_stay_apart(self, tmp_path: Path) -> None:
        messages = [message._replace(log_ns=START_NS) for message in make_recording(4)]
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            assert [recording[number].stamp_ns for number in range(4)] == [
                START_NS + number * PERIOD_NS for number in range(4)
            ]
            assert np.array_equal(recording[2].image, make_pixels(2))


class TestTopics:
    def test_compressed_images_are_used_if_there_are_no_others(self, tmp_path: Path) -> None:
        messages = without(make_recording(2), IMAGE)
        for number in range(2):
            stamp_ns = START_NS + number * PERIOD_NS
            _, png = cv2.imencode(".png", make_pixels(number)[..., ::-1])
            parts = dict(header=header(stamp_ns), format="rgb8; png compressed bgr8", data=np.asarray(png).reshape(-1))
            message = new("sensor_msgs/msg/CompressedImage", **parts)
            messages.append(record(f"{IMAGE}/compressed", stamp_ns + 12 * MS, message))
        for kind in ("mcap", "bag"):
            with BagRecording(write_bag(tmp_path / kind, messages, kind)) as recording:
                assert recording.frame_index.topics[:4] == (f"{IMAGE}/compressed", DEPTH, INFO, True)
                assert np.array_equal(recording[1].image, make_pixels(1))

    def test_a_compressed_version_of_an_image_topic_is_not_another_camera(self, tmp_path: Path) -> None:
        messages = make_recording(2)
        parts = dict(header=header(START_NS), format="jpeg", data=np.zeros(3, np.uint8))
        messages.append(record(f"{IMAGE}/compressed", START_NS, new("sensor_msgs/msg/CompressedImage", **parts)))
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            assert recording.frame_index.topics.image == IMAGE

    def test_compressed_depth_is_used_if_there_is_no_other(self, tmp_path: Path) -> None:
        messages, topic = without(make_recording(1), DEPTH), f"{DEPTH}/compressedDepth"
        _, png = cv2.imencode(".png", make_depth(0))
        data = np.concatenate([np.zeros(12, np.uint8), np.asarray(png).reshape(-1)])
        parts = dict(header=header(START_NS), format="16UC1; compressedDepth png", data=data)
        messages.append(record(topic, START_NS + 30 * MS, new("sensor_msgs/msg/CompressedImage", **parts)))
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            assert recording.frame_index.topics[:4] == (IMAGE, topic, INFO, False)
            assert recording[0].depth_m is not None and recording[0].depth_m[1, 0] == 1

    def test_several_cameras_are_listed(self, tmp_path: Path) -> None:
        left = make_recording(2)
        right = [
            message._replace(topic=message.topic.replace("/camera/", "/right/"))
            for message in left
            if message.topic.startswith("/camera/")
        ]
        path = write_bag(tmp_path / "bag", [*left, *right])
        with pytest.raises(ValueError, match="image: expected the name of a topic") as caught:
            BagRecording(path)
        assert f"{IMAGE} (sensor_msgs/Image rgb8, 2 messages)" in str(caught.value)
        assert "/right/color/image_raw" in str(caught.value)
        with pytest.raises(ValueError, match="depth: expected the name of a topic, .* name one with --depth"):
            BagRecording(path, image=IMAGE)
        with BagRecording(path, image=IMAGE, depth="none") as recording:
            assert recording.frame_index.topics[:4] == (IMAGE, "", INFO, False)
        with BagRecording(path, image="/right/color/image_raw", depth="/right/depth/image_raw") as recording:
            assert recording.frame_index.topics.camera_info == "/right/color/camera_info"

    def test_depth_with_another_frame_id_is_not_guessed(self, tmp_path: Path) -> None:
        messages = without(make_recording(1), DEPTH)
        messages.append(record(DEPTH, START_NS, image(make_depth(0), "16UC1", START_NS, "depth_optical_frame")))
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            assert recording.frame_index.topics.depth == ""

    def test_topics_of_another_name_or_type_are_rejected_with_the_alternatives(self, bag: Path) -> None:
        for name in ("/camera/imgae", DEPTH):
            with pytest.raises(ValueError, match=rf"^image: expected one of {IMAGE} .* in .*, got '{name}'$"):
                BagRecording(bag, image=name)
        with pytest.raises(ValueError, match=rf"^camera_info: expected one of {INFO} .*, got '{IMAGE}'$"):
            BagRecording(bag, camera_info=IMAGE)

    def test_a_bag_without_images_lists_its_topics(self, tmp_path: Path) -> None:
        path = write_bag(tmp_path / "bag", without(make_recording(2), IMAGE))
        with pytest.raises(ValueError, match=r"expected a topic of images, got .*/tf \(tf2_msgs/TFMessage\)"):
            BagRecording(path)


class TestDamage:
    @pytest.mark.parametrize(
        ("kind", "tool"), [("mcap", "mcap recover"), ("db3", "ros2 bag reindex"), ("bag", "rosbag reindex")]
    )
    @pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
    def test_a_truncated_bag_is_named_with_the_tool_that_repairs_it(
        self, tmp_path: Path, kind: str, tool: str, share: float
    ) -> None:
        path = write_bag(tmp_path / "bag", make_recording(FRAMES), kind)
        file = path if path.is_file() else next(path.glob(f"*.{kind}"))
        file.write_bytes(file.read_bytes()[: round(file.stat().st_size * share)])
        with pytest.raises(ValueError, match=f"expected a complete bag, got a damaged one .*`{tool}`") as caught:
            list(BagRecording(path))
        assert str(path) in str(caught.value)

    def test_a_folder_without_metadata_says_how_to_get_it(self, tmp_path: Path) -> None:
        path = write_bag(tmp_path / "bag", make_recording(1))
        (path / "metadata.yaml").unlink()
        assert is_bag(path)
        with pytest.raises(FileNotFoundError, match="expected metadata.yaml, .*`ros2 bag reindex .*recording.mcap"):
            Bag(path)
        with BagRecording(path / "recording.mcap") as recording:
            assert len(recording) == 1

    def test_a_missing_bag_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"nowhere\.bag: expected a bag, but it does not exist"):
            Bag(tmp_path / "nowhere.bag")
        assert not is_bag(tmp_path)

    def test_an_unreadable_image_costs_its_frame_and_is_named(self, tmp_path: Path) -> None:
        messages = without(make_recording(3), IMAGE)
        encodings = ("rgb8", "unknown", "rgb8")
        for number, encoding in enumerate(encodings):
            stamp_ns = START_NS + number * PERIOD_NS
            messages.append(record(IMAGE, stamp_ns + 12 * MS, image(make_pixels(number), encoding, stamp_ns)))
        with BagRecording(write_bag(tmp_path / "bag", messages)) as recording:
            assert recording[2].size == (48, 64)
            with pytest.raises(ValueError, match=r"frame 1 of .*recording: encoding: expected one of"):
                recording[1]
            raw = next(recording.read(0, 1))
            with pytest.raises(ValueError, match="expected a serialized sensor_msgs/Image"):
                dataclasses.replace(raw, image=raw.image[:30]).assemble()


class TestDepthOfAnotherCamera:
    """Depth with its own camera_info, in a frame 10 cm to the left of the image's."""

    DEPTH_INFO = "/camera/depth/camera_info"
    EXTRINSICS = "-0.1 0 0 0 0 0 1"

    def write(self, folder: Path, *left_out: str) -> Path:
        messages = [record(self.DEPTH_INFO, START_NS, camera_info(START_NS, "depth_frame", focal=50.0))]
        messages.append(record("/tf_static", START_NS - MS, static_transform(FRAME_ID, "depth_frame", -0.1)))
        for number in range(FRAMES):
            stamp_ns = START_NS + number * PERIOD_NS
            depth = image(make_depth(number), "16UC1", stamp_ns + 3 * MS, "depth_frame")
            messages.append(record(DEPTH, stamp_ns + 30 * MS, depth))
        others = without(make_recording(FRAMES), DEPTH, *left_out)
        return write_bag(folder / "bag", [*others, *(item for item in messages if item.topic not in left_out)])

    @pytest.mark.parametrize("extrinsics", ["", EXTRINSICS])
    def test_is_registered_as_in_the_node(self, tmp_path: Path, extrinsics: str) -> None:
        path = self.write(tmp_path)
        pose = parse_pose(self.EXTRINSICS, "pose")
        depth_camera = DepthCamera(Intrinsics(50, 50, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT), pose)
        with BagRecording(path, depth_camera_info="auto", depth_extrinsics=extrinsics) as recording:
            assert recording.frame_index.topics.depth_camera_info == self.DEPTH_INFO
            given = list(recording)
            with BagRecording(path, frame_index=recording.frame_index) as again:
                assert str(again[1].depth_m) == str(given[1].depth_m)
        assert len(given) == FRAMES
        for number, frame in enumerate(given):
            stamp_ns = START_NS + number * PERIOD_NS
            messages = (
                image(make_pixels(number), "rgb8", stamp_ns),
                image(make_depth(number), "16UC1", stamp_ns, "depth_frame"),
                camera_info(stamp_ns),
            )
            expected, problems = assemble(*messages, depth_camera)
            assert not problems and expected.depth_m is not None and frame.depth_m is not None
            assert np.isfinite(expected.depth_m).mean() > 0.5
            assert np.array_equal(frame.depth_m, expected.depth_m, equal_nan=True)

    def test_needs_a_calibration_and_a_pose(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="depth_camera_info: expected a topic next to /camera/depth/image_raw"):
            BagRecording(self.write(tmp_path / "a", self.DEPTH_INFO), depth_camera_info="auto")
        path = self.write(tmp_path / "b", "/tf", "/tf_static")
        with pytest.raises(ValueError, match="depth_extrinsics: expected a pose, because .*bag.* has no tf, got none"):
            BagRecording(path, depth_camera_info="auto")
        with pytest.raises(ValueError, match="depth_extrinsics: expected"):
            BagRecording(path, depth_camera_info="auto", depth_extrinsics="left")

    def test_without_the_option_it_is_not_used(self, tmp_path: Path) -> None:
        with BagRecording(self.write(tmp_path), depth=DEPTH) as recording:
            frame, problems = next(recording.read()).assemble()
        assert frame.depth_m is None and "expected the image's frame_id" in problems["depth"]


def static_transform(parent: str, child: str, x: float) -> Any:
    message = transform(0, parent, child)
    message.transforms[0].transform.translation.x = x
    return message
