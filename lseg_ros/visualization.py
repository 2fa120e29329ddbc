"""Images for people: overlay with legend, colored depth, and clouds seen from the side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.structures import Frame, LabelCloud, Segmentation
from lseg_ros.text_drawing import draw_text, text_width
from lseg_ros.vocabulary import UNLABELED, Label, Vocabulary

__all__ = ["colorize", "colorize_depth", "demo_picture", "draw_clouds", "overlay", "palette", "side_by_side"]

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

_BACKGROUND = (24, 26, 30)
_TEXT_COLOR = (236, 236, 236)
_MAX_LEGEND_ENTRIES = 12
_DOT_SIZE = 1.8  # of a point, relative to the distance between points: wide enough to close gaps on slopes


def palette(vocabulary: Vocabulary) -> NDArray[np.uint8]:
    """Return (256, 3) uint8 RGB colors by id, black for unused ids."""
    colors = np.zeros((256, 3), np.uint8)
    for label in vocabulary.labels:
        colors[label.id] = label.color
    return colors


def colorize(segmentation: Segmentation) -> Picture:
    """Return the label map in the colors of the labels, (H, W, 3) uint8 RGB."""
    return palette(segmentation.vocabulary).take(segmentation.label_map, axis=0)


def overlay(image: Picture, segmentation: Segmentation, alpha: float = 0.5) -> Picture:
    """Draw label colors over an image, with a legend of the labels in view, largest first.

    Args:
        image: (H, W, 3) uint8 RGB.
        segmentation: Segmentation of the image.
        alpha: 0 shows only the image, 1 only the colors. Unlabeled pixels always show the image.
    """
    blended = cv2.addWeighted(image, 1 - alpha, colorize(segmentation), alpha, 0)
    unlabeled = (segmentation.label_map == UNLABELED).view(np.uint8)
    cv2.copyTo(image, unlabeled, blended)
    return _draw_legend(np.asarray(blended, np.uint8), _labels_in_view(segmentation))


def colorize_depth(depth_m: NDArray[np.float32]) -> Picture:
    """Draw depth from near (red) to far (blue), with the range in meters.

    The range is from the 2nd to the 98th percentile.
    """
    known = np.isfinite(depth_m)
    near, far = np.percentile(depth_m[known], (2, 98)) if known.any() else (0.0, 1.0)
    share = np.where(known, (depth_m - near) / max(far - near, 1e-6), 1)
    turbo = cv2.applyColorMap((255 * (1 - share.clip(0, 1))).astype(np.uint8), cv2.COLORMAP_TURBO)
    picture = np.asarray(cv2.cvtColor(turbo, cv2.COLOR_BGR2RGB), np.uint8)
    picture[~known] = _BACKGROUND
    text = f"{near:.1f} m to {far:.1f} m" if known.any() else "no depth"
    size, line = _font_size(len(picture))
    _darken(picture, line // 2, line // 2, text_width(text, size) + line, 2 * line)
    draw_text(picture, text, (line, line + line * 3 // 4), size, _TEXT_COLOR)
    return picture


def draw_clouds(clouds: Sequence[LabelCloud], size: tuple[int, int]) -> Picture:
    """Draw clouds as seen from above and to the left of the camera.

    Points have the colors of their labels, shaded by the image. Far points are drawn first, so that near ones cover
    them.

    Args:
        clouds: The clouds.
        size: (H, W) of the picture.
    """
    height, width = size
    picture = np.full((height, width, 3), _BACKGROUND, np.uint8)
    filled = [cloud for cloud in clouds if len(cloud.xyz)]
    if not filled:
        return picture
    xyz = np.concatenate([cloud.xyz for cloud in filled]).astype(np.float64)
    colors = np.concatenate([_shade(cloud) for cloud in filled])
    pixels, scale, distance = _project_from_outside(xyz, size)
    size_px = np.ceil(_DOT_SIZE * _point_spacing(xyz) * scale)
    dots = np.clip(size_px, 1, 9).astype(np.intp)
    order = np.argsort(-distance)
    dots, pixels = dots[order], pixels[order]
    point = np.repeat(np.arange(len(xyz)), dots**2)  # one entry per pixel of each dot, far points first
    within = np.arange(len(point)) - np.repeat(np.cumsum(dots**2) - dots**2, dots**2)
    row = pixels[point, 1] + within // dots[point] - dots[point] // 2
    column = pixels[point, 0] + within % dots[point] - dots[point] // 2
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    picture[row[inside], column[inside]] = colors[order[point[inside]]]
    return picture


def demo_picture(frame: Frame, segmentation: Segmentation, clouds: Sequence[LabelCloud]) -> Picture:
    """Draw four panels: camera image, overlay with legend, depth, and clouds in 3D.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    width = 640
    height = round(width * frame.size[0] / frame.size[1])
    size = (width, height)
    image = np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    label_map, confidence = (
        np.asarray(cv2.resize(label_image, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        for label_image in (segmentation.label_map, segmentation.confidence)
    )
    # Enlarge before the legend is drawn, to keep its text sharp.
    larger = Segmentation(label_map, confidence, segmentation.vocabulary)
    depth_m = np.full(frame.size, np.nan, np.float32) if frame.depth_m is None else frame.depth_m
    depth = colorize_depth(np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)))
    labeled = overlay(image, larger)
    rows = [
        side_by_side({"camera": image, f"segmentation ({len(segmentation.vocabulary)} labels)": labeled}),
        side_by_side({"depth": depth, "clouds by label": draw_clouds(clouds, (height, width))}),
    ]
    return np.pad(np.concatenate(rows), ((0, 8), (8, 8), (0, 0)), constant_values=12)


def side_by_side(panels: Mapping[str, Picture]) -> Picture:
    """Join pictures of the same height, with titles above and gaps between them."""
    titled = [_add_title(panel, title) for title, panel in panels.items()]
    return np.concatenate([part for panel in titled for part in (_gap(panel), panel)][1:], axis=1)


def _labels_in_view(segmentation: Segmentation) -> list[Label]:
    pixels = np.bincount(segmentation.label_map.reshape(-1), minlength=256)
    labels = [label for label in segmentation.vocabulary.labels if pixels[label.id]]
    return sorted(labels, key=lambda label: -pixels[label.id])


def _draw_legend(picture: Picture, labels: Sequence[Label]) -> Picture:
    """Draw label names next to their colors in the upper left, over at most half of the width."""
    height, width = picture.shape[:2]
    size, line = _font_size(height)
    capacity = min(_MAX_LEGEND_ENTRIES, (height - 2 * line) // line)
    if not labels or capacity < 1:
        return picture
    shown = labels if len(labels) <= capacity else labels[: max(capacity - 1, 1)]
    names = [_shorten(label.name, size, width // 2 - 3 * line) for label in shown]
    rest = len(labels) - len(shown)
    lines = [*names, f"and {rest} more"] if rest else names
    box_width = max(text_width(text, size) for text in lines) + 5 * line // 2
    _darken(picture, line // 2, line // 2, min(box_width, width // 2), line * len(lines) + line // 2)
    for number, text in enumerate(lines):
        top = line // 2 + line // 4 + number * line
        if number < len(shown):
            corner = (line, top + line // 6)
            cv2.rectangle(picture, corner, (line + line * 2 // 3, top + line * 5 // 6), shown[number].color, cv2.FILLED)
        draw_text(picture, text, (2 * line, top + line * 3 // 4), size, _TEXT_COLOR)
    return picture


def _font_size(height: int) -> tuple[int, int]:
    """Return font size and line height in pixels for a picture of this height."""
    line = max(12, height // 26)
    return line * 4 // 5, line


def _shorten(text: str, size: int, max_width: int) -> str:
    while len(text) > 4 and text_width(text, size) > max_width:
        text = text[:-4].rstrip() + "..."
    return text


def _darken(picture: Picture, left: int, top: int, width: int, height: int) -> None:
    """Darken a rectangle as a background for text."""
    area = picture[top : top + height, left : left + width]
    area[:] = (area * 0.3 + np.array(_BACKGROUND) * 0.7).astype(np.uint8)


def _add_title(panel: Picture, title: str) -> Picture:
    bar = np.full((28, panel.shape[1], 3), 12, np.uint8)
    draw_text(bar, title, (2, 19), 14, _TEXT_COLOR)
    return np.concatenate([bar, panel])


def _gap(panel: Picture) -> Picture:
    return np.full((len(panel), 8, 3), 12, np.uint8)


def _shade(cloud: LabelCloud) -> NDArray[np.uint8]:
    """Return (N, 3) uint8 label colors of the points, darker where the image is dark."""
    light = 0.45 + 0.55 * cloud.rgb.astype(np.float32).mean(axis=1, keepdims=True) / 255
    return (light * np.array(cloud.label.color, np.float32)).astype(np.uint8)


def _point_spacing(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the distance of each point to its neighbors, (N,) meters.

    The camera sampled the scene on a regular grid of rays, so the distance grows with depth.
    """
    rays = xyz[:, :2] / xyz[:, 2:]
    solid_angle = np.prod(np.ptp(rays, axis=0))
    spacing: NDArray[np.float64] = xyz[:, 2] * (solid_angle / len(xyz)) ** 0.5
    return spacing


def _project_from_outside(
    xyz: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Project points into a picture of size (H, W) so that they fill it.

    Returns:
        (N, 2) pixels as column and row, (N,) pixels per meter, (N,) distance from the viewer.
    """
    low, high = np.percentile(xyz, (2, 98), axis=0)
    turn, tilt = np.radians((-26, 20))  # from the left of the camera, looking down
    about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    turned = (xyz - (low + high) / 2) @ (about_x @ about_y).T
    distance = np.maximum(turned[:, 2] + 1.6 * float(np.linalg.norm(high - low)), 0.05)
    flat = turned[:, :2] / distance[:, None]
    low, high = np.percentile(flat, (1, 99), axis=0)
    zoom = 0.88 * min(size[1] / (high[0] - low[0] + 1e-9), size[0] / (high[1] - low[1] + 1e-9))
    center = np.array([size[1] / 2, size[0] / 2])
    return np.rint((flat - (low + high) / 2) * zoom + center).astype(np.intp), zoom / distance, distance
