"""Frames of files, recordings and cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from lseg_ros.desk import DESK_FOLDER
from lseg_ros.videos import VideoWriter
from lseg_ros.view.sources import Webcam, open_source


def write_image(path: Path, value: int) -> Path:
    cv2.imwrite(str(path), np.full((48, 64, 3), value, np.uint8))
    return path


def write_video(path: Path, times_ms: Sequence[int]) -> Path:
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    with VideoWriter(path, "picture") as writer:
        for number, time_ms in enumerate(times_ms):
            writer.write(np.full((48, 64, 3), 40 * number, np.uint8), time_ms * 1_000_000)
    return path


def brightness(source: Any, index: int) -> int:
    return round(float(source.read(index).image.mean()))


def test_files_and_folders_follow_each_other(tmp_path: Path) -> None:
    single = write_image(tmp_path / "single.png", 10)
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in (20, 30):
        write_image(folder / f"{number}.png", number)
    source = open_source([str(single), str(folder)])
    assert [brightness(source, index) for index in range(source.length)] == [10, 20, 30]
    assert source.name(2) == str(folder / "30.png")
    assert not source.moving


def test_a_recording_has_depth_and_is_played() -> None:
    source = open_source([str(DESK_FOLDER)])
    frame = source.read(19)
    assert (source.length, source.moving) == (20, True)
    assert frame is not None and frame.depth_m is not None and frame.intrinsics is not None
    assert source.name(19).endswith("desk, frame 20")


def test_a_video_is_read_in_any_order(tmp_path: Path) -> None:
    times_ms = [0, 40, 55, 1000, 1033]
    source = open_source([str(write_video(tmp_path / "film.mp4", times_ms))])
    assert source.length == 5
    for index in (0, 1, 4, 2, 3, 4, 0):
        assert brightness(source, index) == pytest.approx(40 * index, abs=3)
        frame = source.read(index)
        assert frame is not None and frame.stamp_ns == times_ms[index] * 1_000_000


def test_the_synthetic_world_has_a_seed() -> None:
    frames = [open_source([name]).read(3) for name in ("synthetic", "synthetic:8", "synthetic:9")]
    images = [frame.image for frame in frames if frame is not None]
    assert np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nowhere"], "nowhere: expected a file or folder"),
        (["synthetic", "webcam:1"], "sources: expected webcam:1 alone, because it does not end, got 2 sources"),
        (["webcam:front"], "sources: expected webcam or webcam:NUMBER, got 'webcam:front'"),
    ],
)
def test_what_cannot_be_opened_is_named(names: list[str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_source(names)


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (extra video)")
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"film\.mp4: expected a complete video file, got a damaged or another"):
        open_source([str(path)])


def fake_camera(frames: int, *, is_opened: bool = True) -> SimpleNamespace:
    """A camera that is unplugged after some frames."""
    images = iter([(True, np.full((48, 64, 3), number, np.uint8)) for number in range(frames)])
    return SimpleNamespace(isOpened=lambda: is_opened, read=lambda: next(images, (False, None)), release=lambda: None)


def test_a_camera_delivers_its_newest_frame_until_it_is_unplugged() -> None:
    camera = Webcam(0, lambda _: fake_camera(3))
    frame = camera.read(0, 5.0)
    while frame is not None and frame.image.mean() < 2:
        frame = camera.read(0, 5.0)
    assert frame is not None and frame.image.mean() == 2
    with pytest.raises(ValueError, match="webcam 0: expected more frames, but the camera was disconnected"):
        camera.read(0, 5.0)
    camera.close()


def test_a_camera_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="webcam: expected the number of a camera, .*, got 7"):
        Webcam(7, lambda _: fake_camera(0, is_opened=False))
