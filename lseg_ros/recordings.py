"""Read image files, and recordings of an RGB-D camera.

All RGB image files are read here, so that they have the same orientation everywhere.
"""

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

from lseg_ros.image_data import (
    IMAGE_SUFFIXES,
    MAX_FILE_PIXELS,
    decode_rgb,
    decode_unchanged,
    find_images,
    open_header,
    read_file,
)
from lseg_ros.structures import Frame, Intrinsics

__all__ = [
    "Association",
    "Calibration",
    "RgbdFolder",
    "list_images",
    "read_calibration",
    "read_depth",
    "read_rgb",
]

_MAX_CALIBRATION_BYTES = 1 << 20
_MAX_ASSOCIATIONS_BYTES = 1 << 26
_MAX_REASON = 200  # characters of a file that an error message quotes
_MAX_STAMP_S = 1 << 31  # builtin_interfaces/Time


@dataclass(frozen=True)
class Association:
    """One line of associations.txt: an image and its depth image, each with its own stamp.

    Attributes:
        rgb_ns: Stamp of the image in nanoseconds.
        rgb: Path of the image.
        depth_ns: Stamp of the depth image in nanoseconds.
        depth: Path of the depth image.
    """

    rgb_ns: int
    rgb: Path
    depth_ns: int
    depth: Path


@dataclass(frozen=True)
class Calibration:
    """Contents of a camera_info YAML file. Images are used without rectification.

    Attributes:
        name: Name of the camera.
        intrinsics: Pinhole intrinsics and image size.
        distortion_model: Name of the distortion model, such as plumb_bob.
        distortion: Its coefficients.
    """

    name: str
    intrinsics: Intrinsics
    distortion_model: str
    distortion: tuple[float, ...]


class RgbdFolder(Sequence[Frame]):
    """A recording of an RGB-D camera: associations.txt, camera.yaml, and image files.

    Lines of associations.txt have the form ``rgb_stamp rgb_file depth_stamp depth_file``, with stamps in seconds.
    camera.yaml has the format of ROS's camera_info files. Depth images are uint16 in millimeters, 0 where unknown,
    registered to the color image. A frame has the stamp of its color image. Image files are read when a frame is
    accessed.

    Args:
        path: Folder of the recording.
        frame_id: Coordinate frame of its frames.

    Raises:
        FileNotFoundError: If a file is missing; the message names it.
        ValueError: If a file has unexpected contents; the message names it and what was expected.
    """

    def __init__(self, path: str | Path, frame_id: str = "camera_optical_frame") -> None:
        self.path = Path(path).expanduser()
        self.frame_id = frame_id
        self.associations = _read_associations(self.path / "associations.txt")
        self.calibration = read_calibration(self.path / "camera.yaml")

    def __len__(self) -> int:
        return len(self.associations)

    def __getitem__(self, index: Any) -> Any:
        """Return the frame at an index, or a list of frames for a slice."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        pair = self.associations[index]
        try:
            return Frame(
                read_rgb(pair.rgb), read_depth(pair.depth), self.calibration.intrinsics, pair.rgb_ns, self.frame_id
            )
        except ValueError as error:
            raise ValueError(f"frame {index} of {self.path} ({pair.rgb.name}, {pair.depth.name}): {error}") from error

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))


def list_images(path: str | Path) -> list[Path]:
    """List the images in a folder, sorted by name. The path of a file is returned as it is.

    Names that begin with a dot are skipped.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If a folder contains no images.
    """
    path = _check_exists(Path(path).expanduser())
    if not path.is_dir():
        return [path]
    images = find_images(path)
    if not images:
        raise ValueError(f"{path}: expected images ({', '.join(sorted(IMAGE_SUFFIXES))}), got none")
    return images


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB, upright: its EXIF orientation is applied.

    Gray and palette images become RGB, 16-bit samples are scaled to 8 bits, and transparent pixels are composited on
    white. All programs of this package read images with this function.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a complete image, is too large, or is not a regular file.
    """
    path = Path(path).expanduser()
    return decode_rgb(read_file(path), str(path))


def read_depth(path: str | Path) -> NDArray[np.float32]:
    """Read a 16-bit depth image in millimeters as (H, W) float32 in meters, NaN where it is 0.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a complete image with one 16-bit channel.
    """
    data = read_file(Path(path))
    open_header(data, str(path), MAX_FILE_PIXELS)
    raw = decode_unchanged(data, cv2.IMREAD_UNCHANGED, str(path))
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise ValueError(f"{path}: expected one channel of 16-bit millimeters, got {raw.shape} {raw.dtype}")
    depth_m = raw.astype(np.float32) * np.float32(0.001)
    depth_m[raw == 0] = np.nan
    return depth_m


def read_calibration(path: str | Path) -> Calibration:
    """Read a camera_info YAML file in the format that ROS's camera_calibration writes.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it has other contents.
    """
    path = Path(path)
    text = _read_text(path, _MAX_CALIBRATION_BYTES)
    try:
        content = yaml.safe_load(text)
        k = [float(value) for value in content["camera_matrix"]["data"]]
        fx, _, cx, _, fy, cy, *_ = k
        distortion = content.get("distortion_coefficients") or {}
        return Calibration(
            name=str(content.get("camera_name", "")),
            intrinsics=Intrinsics(fx, fy, cx, cy, int(content["image_width"]), int(content["image_height"])),
            distortion_model=str(content.get("distortion_model", "plumb_bob")),
            distortion=tuple(float(coefficient) for coefficient in distortion.get("data", ())),
        )
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        yaml.YAMLError,
    ) as error:
        raise ValueError(
            f"{path}: expected a camera_info file with image_width, image_height and camera_matrix.data, "
            f"got {type(error).__name__}: {' '.join(str(error).split())[:_MAX_REASON]}"
        ) from error


def _read_associations(path: Path) -> tuple[Association, ...]:
    associations = []
    for number, line in enumerate(_read_text(path, _MAX_ASSOCIATIONS_BYTES).split("\n"), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            if not all(map(str.isprintable, fields)):  # such as escape sequences in the name of a file
                raise ValueError("expected printable characters")
            rgb_stamp, rgb, depth_stamp, depth = fields
            pair = Association(_to_ns(rgb_stamp), path.parent / rgb, _to_ns(depth_stamp), path.parent / depth)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: expected 'stamp file stamp file', got {line[:_MAX_REASON]!r}"
            ) from error
        for file in (pair.rgb, pair.depth):
            if not file.is_file():
                raise FileNotFoundError(f"{path}, line {number}: expected the file {file}, but it does not exist")
        associations.append(pair)
    if not associations:
        raise ValueError(f"{path}: expected at least one line 'stamp file stamp file', got none")
    return tuple(associations)


def _to_ns(seconds: str) -> int:
    """Convert seconds to nanoseconds. Raises ValueError if it is no stamp of ROS."""
    try:
        stamp_s = Decimal(seconds)  # a float has too few digits for Unix time in nanoseconds
        is_valid = -_MAX_STAMP_S <= stamp_s < _MAX_STAMP_S
    except InvalidOperation:  # no number, or NaN
        is_valid = False
    if not is_valid:
        raise ValueError(f"expected a stamp in seconds, got {seconds[:_MAX_REASON]!r}")
    return int(stamp_s * 1_000_000_000)


def _read_text(path: Path, max_bytes: int) -> str:
    """Read a UTF-8 text file of a limited size."""
    try:
        return read_file(path, max_bytes).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, got {error}") from error


def _check_exists(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or folder, but it does not exist")
    return path
