"""Image files, and recordings of an RGB-D camera as a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from lseg_ros.structures import Frame, Intrinsics

__all__ = ["Association", "Calibration", "RgbdFolder", "image_files", "read_calibration", "read_depth", "read_rgb"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Association:
    """One line of associations.txt: an image and the depth that was taken with it, with their own stamps."""

    rgb_ns: int
    rgb: Path
    depth_ns: int
    depth: Path


@dataclass(frozen=True)
class Calibration:
    """What a camera_info YAML file says of a camera; images are used as they are, without rectifying."""

    name: str
    intrinsics: Intrinsics
    distortion_model: str
    distortion: tuple[float, ...]


class RgbdFolder(Sequence[Frame]):
    """A recording: associations.txt, camera.yaml, and the images that the first one names.

    Lines of associations.txt read ``rgb_stamp rgb_file depth_stamp depth_file``, stamps in seconds; camera.yaml has
    the layout of ROS's camera_info files; depth is uint16 PNG in millimeters, 0 where unknown, registered to the
    color image. Frames carry the stamp of their color image. Files are read when a frame is taken. Raises
    FileNotFoundError or ValueError that name the file and what was expected of it.
    """

    def __init__(self, path: str | Path, frame_id: str = "camera_optical_frame") -> None:
        self.path = Path(path).expanduser()
        self.frame_id = frame_id
        self.associations = _associations(self.path / "associations.txt")
        self.calibration = read_calibration(self.path / "camera.yaml")

    def __len__(self) -> int:
        return len(self.associations)

    def __getitem__(self, index: Any) -> Any:
        """The frame of an index, or the list of a slice's."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        pair = self.associations[index]
        try:
            return Frame(
                read_rgb(pair.rgb), read_depth(pair.depth), self.calibration.intrinsics, pair.rgb_ns, self.frame_id
            )
        except ValueError as error:
            raise ValueError(f"frame {index} of {self.path} ({pair.rgb.name}, {pair.depth.name}): {error}") from error

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))


def image_files(path: str | Path) -> list[Path]:
    """The image itself, or the images in a folder in the order of their names.

    Raises FileNotFoundError where there is nothing, ValueError where a folder has no image.
    """
    path = _existing(Path(path).expanduser())
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(f"{path}: expected images ({', '.join(sorted(_SUFFIXES))}), found none")
    return found


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB, upright: its EXIF orientation is applied.

    Gray and palette images become RGB, 16-bit channels become 8-bit, and transparency is dropped.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a complete image.
    """
    bgr = _read(Path(path).expanduser(), cv2.IMREAD_COLOR)  # OpenCV applies the orientation by default
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def read_depth(path: str | Path) -> NDArray[np.float32]:
    """A 16-bit image of millimeters -> (H, W) float32 meters, NaN where it is 0."""
    raw = _read(Path(path), cv2.IMREAD_UNCHANGED)
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise ValueError(f"{path}: expected one channel of 16-bit millimeters, got {raw.shape} {raw.dtype}")
    depth_m = raw.astype(np.float32) * np.float32(0.001)
    depth_m[raw == 0] = np.nan
    return depth_m


def read_calibration(path: str | Path) -> Calibration:
    """A ROS camera_info YAML file, as camera_calibration writes it."""
    path = _existing(Path(path))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        k = [float(each) for each in content["camera_matrix"]["data"]]
        fx, _, cx, _, fy, cy, *_ = k
        distortion = content.get("distortion_coefficients") or {}
        return Calibration(
            name=str(content.get("camera_name", "")),
            intrinsics=Intrinsics(fx, fy, cx, cy, int(content["image_width"]), int(content["image_height"])),
            distortion_model=str(content.get("distortion_model", "plumb_bob")),
            distortion=tuple(float(each) for each in distortion.get("data", ())),
        )
    except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path}: expected a camera_info file with image_width, image_height and camera_matrix.data "
            f"({type(error).__name__}: {error})"
        ) from error


def _associations(path: Path) -> tuple[Association, ...]:
    pairs = []
    for number, line in enumerate(_existing(path).read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            rgb_stamp, rgb, depth_stamp, depth = fields
            pair = Association(_ns(rgb_stamp), path.parent / rgb, _ns(depth_stamp), path.parent / depth)
        except (ValueError, InvalidOperation) as error:
            raise ValueError(f"{path}, line {number}: expected 'stamp file stamp file', got {line!r}") from error
        for each in (pair.rgb, pair.depth):
            if not each.is_file():
                raise FileNotFoundError(f"{path}, line {number}: expected the file {each}, it is not there")
        pairs.append(pair)
    if not pairs:
        raise ValueError(f"{path}: expected at least one line 'stamp file stamp file', got none")
    return tuple(pairs)


def _ns(seconds: str) -> int:
    """Decimal and not float: today's seconds with nanoseconds behind them are more digits than a float holds."""
    return int(Decimal(seconds) * 1_000_000_000)


def _read(path: Path, flags: int) -> NDArray[Any]:
    # Not cv2.imread: it cannot tell a file that is missing from one that is broken, and prints either.
    data = np.frombuffer(_existing(path).read_bytes(), np.uint8)
    try:
        pixels = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ValueError(f"{path}: expected an image, got {data.size} bytes that are not a complete one")
    return np.asarray(pixels)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or folder, but it does not exist")
    return path
