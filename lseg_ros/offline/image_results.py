"""Label image files and write masks and pictures next to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lseg_ros.offline.jobs import JobReport
from lseg_ros.offline.labeler import Labeler
from lseg_ros.pipeline import FrameResult, Outputs
from lseg_ros.recordings import RgbdFolder, read_rgb
from lseg_ros.structures import Frame, Segmentation
from lseg_ros.visualization import demo_picture

__all__ = ["ImageJob", "summarize_shares", "write_png"]


@dataclass(frozen=True)
class ImageJob:
    """An image file, or a frame of an RGB-D recording.

    Attributes:
        path: The image file.
        out: Folder for the results.
        name: Name of the results, before _mask.png.
        recording: The RGB-D recording, or None.
        index: Number of the frame in it.
    """

    path: Path
    out: Path
    name: str
    recording: RgbdFolder | None = None
    index: int = 0

    def __len__(self) -> int:
        return 1

    def run(self, labeler: Labeler, on_frame: Callable[[], None]) -> JobReport:
        """Label the image and write the results.

        Raises:
            ValueError: If the image cannot be read or is too small; the message names it.
        """
        frame = Frame(read_rgb(self.path)) if self.recording is None else self.recording[self.index]
        try:
            result = labeler.process(frame, Outputs.OVERLAY | Outputs.LABEL_CLOUDS)
        except ValueError as error:  # such as an image that is too small for the network
            raise ValueError(f"{self.path}: {error}") from error
        _write(self.out, self.name, result)
        on_frame()
        shares, ms = summarize_shares(result.segmentation), sum(result.stage_ms.values())
        return JobReport(f"{self.path}: {shares} ({ms:.0f} ms) -> {self.out / self.name}_*.png")


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W) or (H, W, 3) uint8 RGB pixels as PNG."""
    _, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    path.write_bytes(data.tobytes())


def summarize_shares(segmentation: Segmentation) -> str:
    """Return the shares of the labels, largest first, such as 'floor 62%, chair 21%'."""
    label_map = segmentation.label_map
    counts = np.bincount(label_map.reshape(-1), minlength=256)
    labels = sorted(segmentation.vocabulary.labels, key=lambda label: -counts[label.id])
    shares = [f"{label.name} {counts[label.id] / label_map.size:.0%}" for label in labels if counts[label.id]]
    return ", ".join(shares[:6]) + (f" and {len(shares) - 6} more" if len(shares) > 6 else "") or "no labels"


def _write(out: Path, name: str, result: FrameResult) -> None:
    write_png(out / f"{name}_mask.png", result.segmentation.label_map)
    write_png(out / f"{name}_confidence.png", result.segmentation.confidence)
    if result.overlay is not None:
        write_png(out / f"{name}_overlay.png", result.overlay)
    if result.clouds is not None:
        picture = demo_picture(result.frame, result.segmentation, result.clouds)
        write_png(out / f"{name}_picture.png", picture)
