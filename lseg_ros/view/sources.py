"""Where the frames of a page come from: files, recordings, cameras, the synthetic world."""

from __future__ import annotations

import bisect
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from lseg_ros.bags import BagRecording, is_bag
from lseg_ros.recordings import RgbdFolder, list_images, read_rgb
from lseg_ros.structures import Frame
from lseg_ros.synthetic import SyntheticWorld
from lseg_ros.videos import VideoFile, is_video

__all__ = [
    "FrameSequence",
    "ImageFiles",
    "Joined",
    "Source",
    "SyntheticFrames",
    "VideoFrames",
    "Webcam",
    "open_source",
]

_SYNTHETIC_SEED = 8
_SYNTHETIC_RATE_HZ = 5.0
_SYNTHETIC_SIZE = (320, 240)


class Source(Protocol):
    """Frames of a recording, in any order, or of a live camera.

    Attributes:
        length: Number of frames of a recording, 0 for a live camera.
        moving: Whether consecutive frames belong together, so that a page plays them.
    """

    length: int
    moving: bool

    def read(self, index: int, timeout_s: float = 0.0) -> Frame | None:
        """Read one frame.

        Args:
            index: Number of the frame in a recording. A live camera returns its newest frame instead.
            timeout_s: How long to wait for a live camera.

        Returns:
            The frame, or None if a live camera has no new frame.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file or a camera cannot be used. The message names it.
        """

    def name(self, index: int) -> str:
        """Return the name of a frame: the path of its file, or its place in a recording."""


class ImageFiles:
    """Image files as frames without depth."""

    moving = False

    def __init__(self, files: Sequence[Path]) -> None:
        self.length = len(files)
        self._files = files

    def read(self, index: int, timeout_s: float = 0.0) -> Frame:
        """Read an image file."""
        return Frame(read_rgb(self._files[index]))

    def name(self, index: int) -> str:
        """Return the path of the file."""
        return str(self._files[index])


class FrameSequence:
    """The frames of a recording that is a sequence, such as ``RgbdFolder``.

    Raises:
        ValueError: If it is empty.
    """

    moving = True

    def __init__(self, frames: Sequence[Frame], title: str) -> None:
        self.length = len(frames)
        if not frames:
            raise ValueError(f"{title}: expected at least one frame, got none")
        self._frames = frames
        self._title = title

    def read(self, index: int, timeout_s: float = 0.0) -> Frame:
        """Read a frame."""
        return self._frames[index]

    def name(self, index: int) -> str:
        """Return the title and the number of the frame, from 1."""
        return f"{self._title}, frame {index + 1}"


class SyntheticFrames:
    """The camera of a synthetic world on its way around, at 5 frames per second."""

    moving = True

    def __init__(self, seed: int) -> None:
        """Create the world; raises ValueError if the seed is negative."""
        self._world = SyntheticWorld(seed, *_SYNTHETIC_SIZE)
        self.length = max(1, round(self._world.path.period_s * _SYNTHETIC_RATE_HZ))

    def read(self, index: int, timeout_s: float = 0.0) -> Frame:
        """Render a frame."""
        return self._world.frame(index / _SYNTHETIC_RATE_HZ).frame

    def name(self, index: int) -> str:
        """Return the seed and the time in the world."""
        return f"synthetic world {self._world.seed} at {index / _SYNTHETIC_RATE_HZ:.1f} s"


class Joined:
    """Several recordings, one after the other."""

    def __init__(self, recordings: Sequence[Source]) -> None:
        self._recordings = recordings
        self._starts = [0, *itertools.accumulate(recording.length for recording in recordings)]
        self.length = self._starts[-1]
        self.moving = any(recording.moving for recording in recordings)

    def read(self, index: int, timeout_s: float = 0.0) -> Frame | None:
        """Read a frame of the recording that contains it."""
        recording, inner = self._find(index)
        return recording.read(inner)

    def name(self, index: int) -> str:
        """Return the name that the recording gives to the frame."""
        recording, inner = self._find(index)
        return recording.name(inner)

    def _find(self, index: int) -> tuple[Source, int]:
        number = bisect.bisect_right(self._starts, index) - 1
        return self._recordings[number], index - self._starts[number]


class VideoFrames:
    """The frames of a video file without depth.

    The file is read once without decoding, for the times of its frames.
    """

    moving = True

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ModuleNotFoundError: If PyAV is not installed.
            ValueError: If it is no video.
        """
        self._video = VideoFile(path)
        self._times_ns = self._video.read_times()
        self.length = len(self._times_ns)
        if not self.length:
            raise ValueError(f"{path}: expected a video, got a file without frames")
        self._frames: Iterator[Frame] = iter(())
        self._next = -1  # index of the next one of these frames

    def read(self, index: int, timeout_s: float = 0.0) -> Frame:
        """Decode a frame; raises ValueError if the file is damaged there."""
        if index != self._next:  # decodes from the last key frame
            self._frames = self._video.read(self._times_ns[index] / 1e9)
        self._next = -1
        frame = next(self._frames, None)
        if frame is None:
            raise ValueError(f"{self._video.path}: expected frame {index + 1} of {self.length}, got the end")
        self._next = index + 1
        return frame

    def name(self, index: int) -> str:
        """Return the path and the number of the frame, from 1."""
        return f"{self._video.path}, frame {index + 1}"


class Webcam:
    """A camera of this computer, read by a thread, so that the newest frame is not old."""

    length = 0
    moving = True

    def __init__(self, number: int, open_camera: Callable[[int], Any] = cv2.VideoCapture) -> None:
        """Open a camera.

        Args:
            number: Number of the camera, 0 for ``/dev/video0``.
            open_camera: Opens it, as OpenCV does.

        Raises:
            ValueError: If there is no such camera.
        """
        self._name = f"webcam {number}"
        self._capture = open_camera(number)
        if not self._capture.isOpened():
            raise ValueError(f"webcam: expected the number of a camera, such as 0 for /dev/video0, got {number}")
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._read_all, name=self._name, daemon=True)
        self._thread.start()

    def read(self, index: int, timeout_s: float = 0.0) -> Frame | None:
        """Return the newest frame that was not returned before."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._closed, timeout_s)
            if self._newest is None and self._closed:
                raise ValueError(f"{self._name}: expected more frames, but the camera was disconnected")
            frame, self._newest = self._newest, None
            return frame

    def name(self, index: int) -> str:
        """Return the name of the camera."""
        return self._name

    def close(self) -> None:
        """Release the camera."""
        self._closed = True
        self._thread.join(5.0)
        self._capture.release()

    def _read_all(self) -> None:
        while not self._closed:
            ok, bgr = self._capture.read()
            with self._changed:
                if ok:
                    self._newest = Frame(_to_rgb(bgr))
                self._closed |= not ok
                self._changed.notify_all()


def open_source(names: Sequence[str], topics: Sequence[str] = ("auto", "auto", "auto")) -> Source:
    """Open what a command line names.

    Args:
        names: ``webcam`` or ``webcam:NUMBER`` alone, or any number of recordings: ``synthetic`` or ``synthetic:SEED``,
            image files, folders of images, RGB-D folders (associations.txt and camera.yaml), video files, and bags.
        topics: Topics of image, depth and camera_info in bags, see ``BagRecording``.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If one cannot be used. The message names it.
    """
    cameras = [name for name in names if name.partition(":")[0] == "webcam"]
    if cameras and len(names) > 1:
        raise ValueError(f"sources: expected {cameras[0]} alone, because it does not end, got {len(names)} sources")
    if cameras:
        number = names[0].partition(":")[2] or "0"
        if not re.fullmatch(r"\d{1,3}", number):
            raise ValueError(f"sources: expected webcam or webcam:NUMBER, got {names[0]!r}")
        return Webcam(int(number))
    recordings = [_open_recording(name, topics) for name in names]
    return recordings[0] if len(recordings) == 1 else Joined(recordings)


def _open_recording(name: str, topics: Sequence[str]) -> Source:
    if match := re.fullmatch(r"synthetic(?::(\d{1,9}))?", name):
        return SyntheticFrames(int(match[1] or _SYNTHETIC_SEED))
    path = Path(name).expanduser()
    if (path / "associations.txt").exists():
        return FrameSequence(RgbdFolder(path), str(path))
    if path.exists() and is_bag(path):
        return FrameSequence(BagRecording(path, *topics), str(path))
    if is_video(path) and path.is_file():
        return VideoFrames(path)
    return ImageFiles(list_images(path))


def _to_rgb(bgr: Any) -> Any:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
