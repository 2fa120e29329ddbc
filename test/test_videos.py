"""Video files: rotation, variable frame rate, lossless ids, and damaged files."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lseg_ros.cli import main
from lseg_ros.inference import Segmenter, SegmenterConfig
from lseg_ros.videos import VideoFile, VideoWriter, is_video
from lseg_ros.vocabulary import Vocabulary

av: Any = pytest.importorskip("av", reason="PyAV is not installed (extra video)")

TIMES_MS = (0, 40, 55, 300, 301, 1000)
HEIGHT, WIDTH = 48, 65


def make_ids(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH), np.uint8)


def make_picture(number: int) -> NDArray[np.uint8]:
    """Return patches that survive compression, brighter at the top left."""
    picture = np.full((HEIGHT, WIDTH, 3), 40 + 20 * number, np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2] = 250
    return picture


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with VideoWriter(path, "picture") as writer:
        for number, time_ms in enumerate(TIMES_MS):
            writer.write(make_picture(number), time_ms * 1_000_000)
    return path


def test_ids_and_times_survive_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "mask.mkv"
    with VideoWriter(path, "ids") as writer:
        for number, time_ms in enumerate(TIMES_MS):
            writer.write(make_ids(number), time_ms * 1_000_000)
        assert not path.exists()
    frames = list(VideoFile(path))
    assert [frame.stamp_ns for frame in frames] == [time_ms * 1_000_000 for time_ms in TIMES_MS]
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.image, make_ids(number)[..., None].repeat(3, axis=2))


def test_pictures_of_odd_sizes_repeat_their_last_column(video: Path) -> None:
    frames = list(VideoFile(video))
    assert len(frames) == VideoFile(video).frame_count == len(TIMES_MS)
    for number, frame in enumerate(frames):
        assert frame.size == (HEIGHT, WIDTH + 1)
        assert np.abs(frame.image[:, :WIDTH].astype(int) - make_picture(number)).mean() < 4


def test_reading_starts_at_a_time(video: Path) -> None:
    assert [frame.stamp_ns // 1_000_000 for frame in VideoFile(video).read(0.3)] == [300, 301, 1000]


@pytest.mark.parametrize(("degrees", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_the_rotation_of_a_phone_is_applied(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    """Counterclockwise, the bright corner moves from the top left to ``corner``."""
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this version of PyAV cannot write a rotation")
        stream.set_display_rotation(degrees)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(make_picture(0)[:, :64], format="rgb24")))
        container.mux(stream.encode(None))
    (frame,) = VideoFile(path)
    assert frame.size == ((64, 48) if degrees % 180 else (48, 64))
    assert frame.image[corner].mean() > 200


def test_files_that_are_no_complete_video_are_named(tmp_path: Path, video: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4: expected a video file"):
        VideoFile(tmp_path / "nowhere.mp4")
    broken = tmp_path / "broken.mp4"
    for data in (b"", b"no video", video.read_bytes()[:500]):
        broken.write_bytes(data)
        with pytest.raises(ValueError, match=r"broken\.mp4: expected a complete video file, got a damaged or another"):
            VideoFile(broken)
    assert is_video("A.MP4") and not is_video("a.png")


def test_a_video_that_was_cut_is_named_at_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mask.mkv"
    with VideoWriter(path, "ids") as writer:
        for number in range(30):
            writer.write(make_ids(number), number * 100_000_000)
    video = VideoFile(path)
    assert video.read_times() == [frame.stamp_ns for frame in video] == [number * 100_000_000 for number in range(30)]
    assert not caplog.records
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    times_ns = video.read_times()
    assert times_ns == [frame.stamp_ns for frame in video] == [number * 100_000_000 for number in range(len(times_ns))]
    message = rf"mask\.mkv: expected a video of 2\.9 s, but it ends after {times_ns[-1] / 1e9 + 1 / 30:.1f} s"
    assert [bool(re.search(message, record.getMessage())) for record in caplog.records] == [True, True]


def test_a_failed_video_leaves_no_file(tmp_path: Path) -> None:
    message = "expected frames of 66x48 like the first one, got 66x24"
    with pytest.raises(ValueError, match=message), VideoWriter(tmp_path / "a.mp4", "picture") as writer:
        writer.write(make_picture(0), 0)
        writer.write(make_picture(0)[:24], 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("masks", ["video", "png"])
def test_segment_writes_overlay_and_masks_of_a_video(
    masks: str, video: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--checkpoint", checkpoint, "--device", "cpu", "--masks", masks, "--out", str(tmp_path)]
    assert main(["segment", str(video), "--labels", "floor", "wall", *options]) == 0
    assert f"clip.mp4: {len(TIMES_MS)} frames -> " in capsys.readouterr().out
    overlay = VideoFile(tmp_path / "clip_overlay.mp4")
    assert [frame.stamp_ns // 1_000_000 for frame in overlay] == list(TIMES_MS)
    segmenter = Segmenter.from_checkpoint(SegmenterConfig(checkpoint=checkpoint, device="cpu"))
    encoded = segmenter.encode(Vocabulary.of(["floor", "wall"]))
    expected = [segmenter.segment(frame.image, encoded).label_map for frame in VideoFile(video)]
    if masks == "video":
        given = [frame.image[..., 0] for frame in VideoFile(tmp_path / "clip_mask.mkv")]
    else:
        from test.support.dataset_trees import read_unchanged

        given = [read_unchanged(path) for path in sorted((tmp_path / "clip_masks").iterdir())]
    assert all(np.array_equal(mask, label_map) for mask, label_map in zip(given, expected, strict=True))
