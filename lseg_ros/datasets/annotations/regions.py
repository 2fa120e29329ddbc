"""Areas of an image, as annotation tools store them, drawn into a target.

Coordinates are in pixels from the top left corner of the upright image: the first pixel covers 0 to 1. A pixel belongs
to a polygon if its center lies inside. Parts outside the image are cut off.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Bitmap", "Polygons", "Region", "Runs", "decode_counts", "ellipse", "polygon", "rectangle", "runs"]

_MAX_COORDINATE = 1e9
_MAX_CROSSINGS = 2**26  # of the edges of one polygon with the rows of an image
_ELLIPSE_POINTS = 360


class Region(Protocol):
    """An area of an image."""

    def paint(self, target: NDArray[np.int16], value: int) -> None:
        """Set the pixels of the area in ``target``, (H, W), to ``value``.

        Raises:
            ValueError: If the area cannot be decoded or does not fit the size of ``target``.
        """
        ...


@dataclass(frozen=True, eq=False)
class Polygons:
    """The union of polygons. Where one polygon overlaps itself, the even-odd rule decides.

    Attributes:
        rings: Corners (x, y) of each polygon, (N, 2) float64.
    """

    rings: tuple[NDArray[np.float64], ...]

    @property
    def area(self) -> float:
        """Area in square pixels, including parts outside the image."""
        return float(sum(abs(_cross(ring, np.roll(ring, -1, axis=0)).sum()) / 2 for ring in self.rings))

    def paint(self, target: NDArray[np.int16], value: int) -> None:
        """Set the pixels whose centers lie in one of the polygons."""
        for ring in self.rings:
            low, high = np.floor(ring.min(axis=0)), np.ceil(ring.max(axis=0))
            (left, top), (right, bottom) = (limit.clip(0, target.shape[::-1]).astype(int) for limit in (low, high))
            window = target[top:bottom, left:right]
            if window.size:
                window[_fill(ring - (left, top), *window.shape)] = value


@dataclass(frozen=True, eq=False)
class Runs:
    """A run-length encoded mask, alternately outside and inside, starting outside.

    Attributes:
        counts: Lengths of the runs, int64.
        size: (height, width) of the mask.
        corner: (top, left) of the mask in the image.
        by_column: Whether the runs go down the columns, as in COCO, or along the rows, as in CVAT.
    """

    counts: NDArray[np.int64]
    size: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    by_column: bool = True

    @property
    def area(self) -> float:
        """Area in pixels."""
        return float(self.counts[1::2].sum())

    def paint(self, target: NDArray[np.int16], value: int) -> None:
        """Set the pixels of the mask."""
        height, width = self.size
        if height > target.shape[0] or width > target.shape[1]:
            raise ValueError(
                f"expected a mask of at most {target.shape[1]}x{target.shape[0]} pixels, got {width}x{height}"
            )
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts)
        _paste(target, inside.reshape(width, height).T if self.by_column else inside.reshape(height, width),
               self.corner, value)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bitmap:
    """A mask as an image file in base64, not zero inside.

    Attributes:
        data: Base64 text of the file.
        corner: (top, left) of the mask in the image.
    """

    data: str
    corner: tuple[int, int]

    def paint(self, target: NDArray[np.int16], value: int) -> None:
        """Set the pixels of the mask."""
        try:
            with Image.open(io.BytesIO(base64.b64decode(self.data))) as image:
                if image.height > target.shape[0] + 1 or image.width > target.shape[1] + 1:  # tools round up
                    raise ValueError(f"{image.width}x{image.height} pixels, more than the image")
                inside = np.array(image.convert("L")) > 0
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"expected a mask as an image in base64, got {error}") from error
        _paste(target, inside, self.corner, value)


def polygon(points: Any) -> Polygons:
    """Build a region from the corners (x, y) of one polygon.

    Raises:
        ValueError: If there are fewer than 3 points, or they are not pairs of finite numbers.
    """
    try:
        ring = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"points: expected pairs of numbers, got {error}") from error
    if ring.ndim != 2 or ring.shape[1:] != (2,) or len(ring) < 3:
        raise ValueError(f"points: expected 3 or more pairs of numbers, got an array of shape {ring.shape}")
    _check_range(ring)
    return Polygons((ring,))


def rectangle(left: float, top: float, right: float, bottom: float, rotation_deg: float = 0.0) -> Polygons:
    """Build a rectangle, turned clockwise around its center.

    Its corners may come in any order.
    """
    _check_range(left, top, right, bottom, rotation_deg)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    return polygon(_rotate(corners, corners.mean(axis=0), rotation_deg))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, rotation_deg: float = 0.0) -> Polygons:
    """Build an ellipse around (x, y), turned clockwise, as a polygon."""
    _check_range(x, y, radius_x, radius_y, rotation_deg)
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
    points = np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
    return polygon(_rotate(points, np.array([x, y], np.float64), rotation_deg))


def runs(
    counts: Sequence[int], size: tuple[int, int], corner: tuple[int, int] = (0, 0), by_column: bool = True
) -> Runs:
    """Build a run-length encoded region.

    Raises:
        ValueError: If the runs do not fill the mask exactly.
    """
    total = size[0] * size[1]
    if min(size) < 1 or any(type(count) is not int or not 0 <= count <= total for count in counts):
        raise ValueError(f"RLE: expected runs of 0 to {total} pixels in a mask of {size[1]}x{size[0]}, got others")
    if sum(counts) != total:
        raise ValueError(f"RLE: expected runs of {total} pixels in all, the {size[1]}x{size[0]} of the mask, "
                         f"got {sum(counts)}")  # fmt: skip
    return Runs(np.array(counts, np.int64), size, corner, by_column)


def decode_counts(text: str) -> list[int]:
    """Decode the run lengths of COCO's compressed RLE (maskApi.c, rleFrString).

    Each number has 5 bits per character, the lowest first; 32 says that more follow, and 16 in the last one is the
    sign. From the fourth on they are differences from the last but one.

    Raises:
        ValueError: If the text is not compressed RLE.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"counts: expected compressed RLE, got {character!r} at number {len(counts)}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("counts: expected compressed RLE, got a text that ends within a number")
    return counts


def _check_range(*numbers: float | NDArray[np.float64]) -> None:
    for number in numbers:
        if not (np.abs(number) <= _MAX_COORDINATE).all():  # also rejects NaN
            raise ValueError(f"points: expected numbers up to {_MAX_COORDINATE:g}, got others")


def _fill(ring: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels, (height, width), whose centers lie inside a polygon.

    An exact scan conversion, because ``cv2.fillPoly`` and Pillow also draw the outline, up to a pixel outside, and
    both round or overflow far outside the image.
    """
    end = np.roll(ring, -1, axis=0)
    # Rows whose centers an edge crosses: its lower end belongs to the next edge.
    first, last = (
        np.ceil(limit(ring[:, 1], end[:, 1]) - 0.5).clip(0, height).astype(int) for limit in (np.minimum, np.maximum)
    )
    rows_of_edge = last - first
    if rows_of_edge.sum() > _MAX_CROSSINGS:
        raise ValueError(f"points: expected a simpler polygon, got {len(ring)} points")
    edge = np.repeat(np.arange(len(ring)), rows_of_edge)
    row = np.arange(len(edge)) - np.repeat(rows_of_edge.cumsum() - rows_of_edge, rows_of_edge) + first[edge]
    x0, y0 = ring[edge].T
    x1, y1 = end[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.ceil(x - 0.5).clip(0, width).astype(int)
    crossings = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    return crossings.cumsum(axis=1)[:, :-1] % 2 == 1


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _rotate(points: NDArray[np.float64], center: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (points - center) @ np.array([(cos, sin), (-sin, cos)]) + center


def _paste(target: NDArray[np.int16], inside: NDArray[np.bool_], corner: tuple[int, int], value: int) -> None:
    """Set the pixels of ``target`` where ``inside`` is True.

    The top left pixel of ``inside`` is at ``corner``.
    """
    top, left = corner
    window = target[max(top, 0) : max(top + inside.shape[0], 0), max(left, 0) : max(left + inside.shape[1], 0)]
    visible = inside[max(-top, 0) :, max(-left, 0) :][: window.shape[0], : window.shape[1]]
    window[visible] = value
