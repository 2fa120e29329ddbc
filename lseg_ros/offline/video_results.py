"""Label videos and write an overlay with legend, and masks without loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lseg_ros.offline.image_results import write_png
from lseg_ros.offline.jobs import JobReport
from lseg_ros.offline.labeler import Labeler
from lseg_ros.pipeline import Outputs
from lseg_ros.videos import VideoFile, VideoWriter

__all__ = ["VideoJob"]


@dataclass(frozen=True)
class VideoJob:
    """A video file.

    Attributes:
        path: The file.
        out: Folder for NAME_overlay.mp4 and the masks.
        name: Name of the results.
        frame_count: Number of frames, or an estimate.
        png_masks: Write masks as NAME_masks/000000.png and so on, instead of NAME_mask.mkv.
    """

    path: Path
    out: Path
    name: str
    frame_count: int
    png_masks: bool = False

    def __len__(self) -> int:
        return self.frame_count

    def run(self, labeler: Labeler, on_frame: Callable[[], None]) -> JobReport:
        """Label the frames and write the results.

        Raises:
            ValueError: If the video is damaged, its size changes, or it is too small; the message names it.
        """
        count, folder = 0, self.out / f"{self.name}_masks"
        if self.png_masks:
            folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            overlay = stack.enter_context(VideoWriter(self.out / f"{self.name}_overlay.mp4", "picture"))
            masks = None
            if not self.png_masks:
                masks = stack.enter_context(VideoWriter(self.out / f"{self.name}_mask.mkv", "ids"))
            for count, frame in enumerate(VideoFile(self.path), 1):
                try:
                    result = labeler.process(frame, Outputs.OVERLAY)
                except ValueError as error:  # such as an image that is too small for the network
                    raise ValueError(f"{self.path}: {error}") from error
                assert result.overlay is not None
                overlay.write(result.overlay, frame.stamp_ns)
                if masks is None:
                    write_png(folder / f"{count - 1:06d}.png", result.segmentation.label_map)
                else:
                    masks.write(result.segmentation.label_map, frame.stamp_ns)
                on_frame()
        if not count:
            raise ValueError(f"{self.path}: expected a video, got a file without frames")
        return JobReport(f"{self.path}: {count} frames -> {self.out / self.name}_overlay.mp4 and masks")
