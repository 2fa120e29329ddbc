"""Read and write video files with PyAV (extra ``video``)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Frame

__all__ = ["VideoFile", "VideoWriter", "is_video"]

logger = logging.getLogger(__name__)

_SUFFIXES = {
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv",
}  # fmt: skip
_MAX_PIXELS = 1 << 26
_TOLERANCE_S = 0.5  # between the end of the last frame and the end that the file states
# kind -> container, codec, pixel format of the pixels, pixel format in the file, options
_KINDS: dict[str, tuple[str, str, str, str, dict[str, str]]] = {
    "picture": ("mp4", "libx264", "rgb24", "yuv420p", {"crf": "20", "preset": "medium"}),
    "ids": ("matroska", "ffv1", "gray", "gray", {"level": "3"}),
}


def is_video(path: str | Path) -> bool:
    """Return whether the suffix of a file is that of a video."""
    return Path(path).suffix.lower() in _SUFFIXES


class VideoFile:
    """The frames of a video file, upright and with their own times.

    Attributes:
        path: The file.
        frame_count: Number of frames as the file states it, or an estimate from its duration; 0 if unknown.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ModuleNotFoundError: If PyAV is not installed.
        ValueError: If the file is not a video; the message names it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: expected a video file, but it does not exist")
        with self._open() as (_, stream):
            self.frame_count = int(stream.frames or (stream.duration or 0) * stream.time_base * _rate(stream))

    def __iter__(self) -> Iterator[Frame]:
        return self.read()

    def read(self, start_s: float = 0.0) -> Iterator[Frame]:
        """Read frames in the order in which they are shown.

        The stamp of a frame is its time in the video. The rotation that a phone stores is applied. A warning in the
        log names a file that ends early.

        Args:
            start_s: Time of the first frame in seconds.

        Raises:
            ValueError: If the video is damaged; the message names the frame.
        """
        with self._open() as (container, stream):
            if start_s > 0 and stream.start_time is not None:  # None if the frames have no times
                container.seek(int(start_s / stream.time_base), stream=stream)  # to the key frame before this time
            start_ns, end_s = round(start_s * 1e9), 0.0
            for number, frame in enumerate(self._decode(container, stream)):
                time_s = number / _rate(stream) if frame.pts is None else frame.pts * stream.time_base
                end_s = max(end_s, _end_s(time_s, frame, stream))
                if (time_ns := round(time_s * 1_000_000_000)) >= start_ns:
                    yield Frame(_upright(frame), stamp_ns=time_ns)
            self._check_end(container, stream, end_s)

    def read_times(self) -> list[int]:
        """Read the times of all frames in nanoseconds without decoding them.

        They are in the order in which the frames are shown. A warning in the log names a file that ends early.

        Raises:
            ValueError: If the video is damaged.
        """
        import av

        with self._open() as (container, stream):
            try:
                packets = [packet for packet in container.demux(stream) if packet.size]
            except av.error.FFmpegError as error:
                raise ValueError(f"{self.path}: expected a complete video, got a damaged file ({error})") from error
            if any(packet.pts is None for packet in packets):
                times_s = [number / _rate(stream) for number in range(len(packets))]
            else:
                times_s = [packet.pts * stream.time_base for packet in packets]
            ends_s = (_end_s(time_s, packet, stream) for time_s, packet in zip(times_s, packets))
            self._check_end(container, stream, max(ends_s, default=0.0))
            return sorted(round(time_s * 1_000_000_000) for time_s in times_s)

    def _check_end(self, container: Any, stream: Any, end_s: float) -> None:
        """Warn if the frames end early: decoders end a file that was cut without an error."""
        stated_s = _stated_end_s(container, stream)
        if end_s < stated_s - _TOLERANCE_S:
            logger.warning(
                "%s: expected a video of %.1f s, but it ends after %.1f s: the file is incomplete",
                self.path,
                stated_s,
                end_s,
            )

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        import av

        frames, number = container.decode(stream), 0
        while True:
            try:
                frame = next(frames, None)
            except av.error.FFmpegError as error:
                reason = f"frame {number} is damaged ({error})"
                raise ValueError(f"{self.path}: expected a complete video, but {reason}") from error
            if frame is None:
                return
            if frame.width * frame.height > _MAX_PIXELS:
                size = f"{frame.width}x{frame.height}"
                raise ValueError(f"{self.path}: expected at most {_MAX_PIXELS} pixels, got {size}")
            yield frame
            number += 1

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        import av

        try:
            container = av.open(str(self.path))
        except av.error.FFmpegError as error:
            reason = f"got a damaged or another file ({error})"
            raise ValueError(f"{self.path}: expected a complete video file, {reason}") from error
        with container:
            if not container.streams.video:
                raise ValueError(f"{self.path}: expected a video, got a file without pictures")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream


class VideoWriter:
    """A video file whose frames have their own times.

    It appears under its name when it is complete.

    Args:
        path: The file.
        kind: "picture" for RGB (H.264 in mp4, even sizes: the last row or column is repeated), "ids" for one lossless
            channel (FFV1 in mkv).
        rate: Nominal frame rate, which some players show.
    """

    def __init__(self, path: Path, kind: str, rate: Fraction = Fraction(30)) -> None:
        self._path = path
        self._temporary = path.with_name(f"{path.name}.part")
        self._format, self._codec, self._pixels, self._stored, self._options = _KINDS[kind]
        self._rate = rate
        self._container: Any = None
        self._stream: Any = None
        self._last_ms = -1

    def write(self, pixels: NDArray[np.uint8], stamp_ns: int) -> None:
        """Write a frame.

        Args:
            pixels: (H, W, 3) uint8 RGB, or (H, W) uint8 ids.
            stamp_ns: Time in the video, in nanoseconds, stored in milliseconds. Later than that of the frame before.

        Raises:
            ValueError: If the size differs from that of the first frame.
        """
        import av

        if self._stored == "yuv420p":
            pads = [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)]
            pixels = np.pad(pixels, pads, mode="edge")
        if self._stream is None:
            self._open(pixels.shape[1], pixels.shape[0])
        if (self._stream.height, self._stream.width) != pixels.shape[:2]:
            size, first = f"{pixels.shape[1]}x{pixels.shape[0]}", f"{self._stream.width}x{self._stream.height}"
            raise ValueError(f"{self._path}: expected frames of {first} like the first one, got {size}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._pixels)
        self._last_ms = frame.pts = max(round(stamp_ns / 1e6), self._last_ms + 1)
        frame.time_base = Fraction(1, 1000)
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is None:
            return
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        import av

        self._container = av.open(str(self._temporary), "w", format=self._format, options={"fflags": "+bitexact"})
        self._stream = self._container.add_stream(self._codec, rate=self._rate, options=self._options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, self._stored
        self._stream.codec_context.time_base = Fraction(1, 1000)


def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or 30)


def _end_s(time_s: Fraction, item: Any, stream: Any) -> float:
    """Return the end of a frame or packet in seconds."""
    return float(time_s + max((item.duration or 0) * stream.time_base, 1 / _rate(stream)))


def _stated_end_s(container: Any, stream: Any) -> float:
    """Return the end of a stream in seconds as the file states it, 0 if it does not."""
    match = re.match(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))  # Matroska
    if match:
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    if stream.duration is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    is_alone = len(container.streams) == 1  # sound may be longer than the pictures
    return float(((container.duration or 0) + (container.start_time or 0)) / 1e6) if is_alone else 0.0


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB pixels, with the rotation of the file applied."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))
