"""What a page shows: labeled frames, whether they are computed here or by a running node."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lseg_ros.query import QueryResult
from lseg_ros.structures import Frame, Segmentation

__all__ = ["Feed", "Found", "LabeledFrame", "MapCloud"]


@dataclass(frozen=True, eq=False)
class LabeledFrame:
    """A frame and its labels.

    Attributes:
        name: Name of the frame: the path of its image file, or where it comes from.
        index: Number of the frame in its recording, from 0; 0 for a live camera.
        frame: The frame.
        segmentation: Its labels.
        latency_ms: Time from the image to its labels.
    """

    name: str
    index: int
    frame: Frame
    segmentation: Segmentation
    latency_ms: float


@dataclass(frozen=True, eq=False)
class Found:
    """The answer to a query.

    Attributes:
        frame: The frame that was searched.
        result: Where the text was found.
        in_map: Whether the point of the result is in the frame of the map instead of the optical frame.
    """

    frame: Frame
    result: QueryResult
    in_map: bool = False


@dataclass(frozen=True, eq=False)
class MapCloud:
    """Voxels of a language map.

    Attributes:
        centers: (N, 3) float32 meters in the map, whose z points up.
        colors: (N, 3) uint8 RGB.
    """

    centers: NDArray[np.float32]
    colors: NDArray[np.uint8]


class Feed(Protocol):
    """Delivers labeled frames and takes requests. One thread calls it.

    All methods but ``has_map``, ``rest`` and ``command`` raise ValueError or OSError with a reason for people if a
    file, a request or a camera cannot be used. The feed stays usable.

    Attributes:
        title: Name of the source.
        length: Number of frames of a recording, 0 for a live camera.
        moving: Whether the frames are played.
        threshold: The initial ``unlabeled_threshold``, 0 to 1; None as long as a running node has not reported it.
        cameras: Names of the cameras to choose from, empty for the only one.
        camera: The camera that is shown, "" for the only one.
    """

    title: str
    length: int
    moving: bool
    threshold: float | None
    cameras: Sequence[str]
    camera: str

    def read(self, index: int, timeout_s: float) -> LabeledFrame | None:
        """Label a frame.

        Args:
            index: Number of the frame in a recording; a live camera delivers its newest frame.
            timeout_s: How long to wait for a live camera.

        Returns:
            The frame, or None if a live camera has no new one.
        """

    def read_again(self, timeout_s: float) -> LabeledFrame | None:
        """Label the last frame with the current labels and threshold.

        A running node does not keep frames: there, this is its next frame.
        """

    def set_labels(self, entries: Sequence[str], colors: Sequence[str] | None = None) -> None:
        """Replace the labels.

        Args:
            entries: Label list, ``|`` between synonyms.
            colors: One per entry, ``#rrggbb`` or ``""``; None keeps all colors.
        """

    def set_threshold(self, threshold: float) -> None:
        """Set ``unlabeled_threshold``, 0 to 1."""

    def select_camera(self, name: str) -> None:
        """Show another camera from the next frame on."""

    def query(self, text: str) -> Found:
        """Find a text in the last frame."""

    def has_map(self) -> bool:
        """Return whether there is a language map."""

    def map_cloud(self, query: str, hidden: Collection[int]) -> MapCloud | None:
        """Return the language map.

        Args:
            query: A text; the colors show the similarity with it. "" for the colors of the labels.
            hidden: Ids of the labels that are not shown.

        Returns:
            The voxels, or None if a running node has published no other ones. It chooses the colors itself.
        """

    def rest(self) -> None:
        """Free what is only needed while a page is open; the next ``read`` takes it again."""

    def command(self, frame: LabeledFrame, image: str) -> str:
        """Return the command line that gives the same labels.

        Args:
            frame: The frame.
            image: Path of a copy of its image.
        """
