"""Pictures of a labeled frame: labels, confidence, and the similarity with a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.query import QueryResult
from lseg_ros.structures import Frame, Intrinsics, Segmentation
from lseg_ros.vocabulary import UNLABELED

__all__ = ["draw_confidence", "draw_similarity", "fit", "hide_labels", "take_every"]

Picture = NDArray[np.uint8]  # (H, W, 3) RGB


def hide_labels(segmentation: Segmentation, hidden: Collection[int]) -> Segmentation:
    """Return the segmentation without the labels of some ids: their pixels are unlabeled."""
    if not hidden:
        return segmentation
    ids = np.arange(256, dtype=np.uint8)
    ids[list(hidden)] = UNLABELED
    return dataclasses.replace(segmentation, label_map=ids[segmentation.label_map])


def fit(frame: Frame, segmentation: Segmentation, least_px: int, most_px: int) -> tuple[Picture, Segmentation]:
    """Resize image and labels so that the longer side has ``least_px`` to ``most_px`` pixels."""
    height, width = frame.size
    scale = min(max(max(height, width), least_px), most_px) / max(height, width)
    if scale == 1:
        return frame.image, segmentation
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(frame.image, size, interpolation=interpolation), np.uint8)
    label_map, confidence = (
        np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        for values in (segmentation.label_map, segmentation.confidence)
    )
    return image, Segmentation(label_map, confidence, segmentation.vocabulary)


def take_every(step: int, frame: Frame, segmentation: Segmentation) -> tuple[Frame, Segmentation]:
    """Keep every ``step``-th row and column of a frame. Points stay where they are."""
    if step == 1:
        return frame, segmentation
    part = np.s_[::step, ::step]
    image = np.ascontiguousarray(frame.image[part])
    depth_m = None if frame.depth_m is None else np.ascontiguousarray(frame.depth_m[part])
    camera = frame.intrinsics
    if camera is not None:
        height, width = image.shape[:2]
        camera = Intrinsics(
            camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step, width=width, height=height
        )
    label_map, confidence = (
        np.ascontiguousarray(values[part]) for values in (segmentation.label_map, segmentation.confidence)
    )
    return (
        Frame(image, depth_m, camera, frame.stamp_ns, frame.frame_id),
        Segmentation(label_map, confidence, segmentation.vocabulary),
    )


def draw_confidence(image: Picture, confidence: NDArray[np.uint8], alpha: float) -> Picture:
    """Draw confidence over an image, from dark (0) to yellow (255).

    Args:
        image: (H, W, 3) uint8 RGB.
        confidence: (H, W) uint8.
        alpha: Opacity of the colors.
    """
    return _blend(image, confidence, cv2.COLORMAP_VIRIDIS, alpha)


def draw_similarity(image: Picture, result: QueryResult, alpha: float) -> Picture:
    """Draw the similarity with a text, from blue to red, and mark the best pixel.

    Args:
        image: (H, W, 3) uint8 RGB.
        result: Answer to a query about the image.
        alpha: Opacity of the colors.
    """
    similarity = result.similarity
    low, high = float(similarity.min()), float(similarity.max())
    heat = ((similarity - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    picture = _blend(image, heat, cv2.COLORMAP_TURBO, alpha)
    size = max(12, len(picture) // 16)
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):  # visible on every color
        cv2.drawMarker(picture, result.pixel, color, cv2.MARKER_CROSS, size, thickness)
    return picture


def _blend(image: Picture, values: NDArray[np.uint8], colormap: int, alpha: float) -> Picture:
    colors = cv2.cvtColor(cv2.applyColorMap(values, colormap), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.addWeighted(image, 1 - alpha, colors, alpha, 0), np.uint8)
