"""Write a labeled frame to files."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.geometry import organized_cloud
from lseg_ros.structures import to_xyz
from lseg_ros.view.feed import LabeledFrame
from lseg_ros.visualization import palette

__all__ = ["POINT_PROPERTIES", "save_frame", "write_ply"]

POINT_PROPERTIES = np.dtype(
    [
        *((axis, "<f4") for axis in "xyz"),
        *((channel, "u1") for channel in ("red", "green", "blue", "label", "confidence")),
    ]
)
_PLY_TYPES = {"<f4": "float", "|u1": "uchar"}


def save_frame(folder: Path, frame: LabeledFrame, overlay: NDArray[np.uint8]) -> list[Path]:
    """Write image, mask, confidence, overlay and, with depth, the points of a frame.

    The names begin with that of the frame. Files of the same name are not replaced; the new ones get a number.

    Args:
        folder: Folder for the files; it is created.
        frame: The frame.
        overlay: (H, W, 3) uint8 RGB.

    Returns:
        The files: NAME_image.png, NAME_mask.png, NAME_confidence.png, NAME_overlay.png and NAME_points.ply.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = _unused_stem(folder, frame.name)
    segmentation = frame.segmentation
    pictures = {
        "image": frame.frame.image,
        "mask": segmentation.label_map,
        "confidence": segmentation.confidence,
        "overlay": overlay,
    }
    files = []
    for kind, pixels in pictures.items():
        path = folder / f"{stem}_{kind}.png"
        _, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
        path.write_bytes(data.tobytes())
        files.append(path)
    if frame.frame.depth_m is not None and frame.frame.intrinsics is not None:
        files.append(folder / f"{stem}_points.ply")
        write_ply(files[-1], frame)
    return files


def write_ply(path: Path, frame: LabeledFrame) -> None:
    """Write the points of a frame with depth as a binary PLY file.

    Its points have x, y, z in meters in the optical frame, the color of their label (that of the image if they are
    unlabeled), label and confidence (0 to 255).
    """
    segmentation = frame.segmentation
    xyz = to_xyz(organized_cloud(frame.frame, segmentation))
    known = np.isfinite(xyz[..., 2])
    label = segmentation.label_map[known]
    colors = np.where(label[:, None] > 0, palette(segmentation.vocabulary)[label], frame.frame.image[known])
    points = np.empty(len(label), POINT_PROPERTIES)
    for index, axis in enumerate("xyz"):
        points[axis] = xyz[known][:, index]
    for index, channel in enumerate(("red", "green", "blue")):
        points[channel] = colors[:, index]
    points["label"], points["confidence"] = label, segmentation.confidence[known]
    properties = [f"property {_PLY_TYPES[POINT_PROPERTIES[name].str]} {name}" for name in POINT_PROPERTIES.names or ()]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *properties, "end_header", ""]
    path.write_bytes("\n".join(header).encode() + points.tobytes())


def _unused_stem(folder: Path, name: str) -> str:
    base = re.sub(r"[^\w.-]+", "_", Path(name).stem if Path(name).is_file() else Path(name).name)[:80].strip("_.")
    base = base or "frame"
    stem, number = base, 2
    while (folder / f"{stem}_mask.png").exists():
        stem, number = f"{base}_{number}", number + 1
    return stem
